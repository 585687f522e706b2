/** Names that onnxruntime's declarations borrow from browsers. Declared empty, so that the rest of `dom` stays out of this program. */
interface WebGLRenderingContext {}
interface WebGLTexture {}
interface HTMLImageElement {}
interface ImageBitmap {}
interface ImageData {}
