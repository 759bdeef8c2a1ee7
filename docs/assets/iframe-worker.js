/* Search in a copy of the site that is opened from disk. Browsers start no worker from `file:`, so
   the script of the worker runs in a hidden frame instead, and messages go through the window. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.ready = new Promise((resolve) => frame.addEventListener("load", resolve))
      document.body.append(frame)
      const inside = frame.contentWindow
      const post = inside.postMessage.bind(inside)
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.postMessage = (data) => this.ready.then(() => post(data, "*"))
      const tag = inside.document.createElement("script")
      tag.src = script
      this.ready = new Promise((resolve) => tag.addEventListener("load", resolve))
      inside.document.body.append(tag)
    }
  }
}
