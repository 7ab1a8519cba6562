/* Search for pages that are opened as files: browsers start no worker there, so the script of the
   worker runs in a hidden frame, and messages go to and fro as a worker's would. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      const script = new URL(address, document.baseURI).href;
      this.frame.srcdoc = `<!doctype html><script>
        window.importScripts = (...addresses) => addresses.reduce(
          (before, one) => before.then(() => new Promise((loaded, failed) => {
            const made = document.createElement("script");
            made.src = one; made.onload = loaded; made.onerror = failed;
            document.head.append(made);
          })), Promise.resolve());
        window.postMessage = (data) => parent.dispatchEvent(
          new CustomEvent("frame-worker", { detail: { frame: window.frameElement, data } }));
        </` + `script><script src="${script}"></` + `script>`;
      this.ready = new Promise((loaded) => this.frame.addEventListener("load", loaded));
      window.addEventListener("frame-worker", (event) => {
        if (event.detail.frame !== this.frame) return;
        const message = new MessageEvent("message", { data: event.detail.data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      });
      document.body.append(this.frame);
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(
        new MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
