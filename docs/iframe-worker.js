// Browsers refuse a web worker to a page that is opened from a folder, and the search runs in one. There, and there
// alone, this stands in for it: the same script in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(source) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      const shown = new Promise((done) => frame.addEventListener("load", done, { once: true }))
      document.body.append(frame)
      this.inside = shown.then(async () => {
        const inside = frame.contentWindow
        const load = (script) =>
          new Promise((done, failed) => {
            const tag = inside.document.createElement("script")
            Object.assign(tag, { src: script, onload: done, onerror: failed })
            inside.document.body.append(tag)
          })
        inside.importScripts = (...scripts) => Promise.all(scripts.map(load))
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
        await load(new URL(source, location.href).href)
        return inside
      })
    }

    postMessage(data) {
      this.inside.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
