/**
 * Names that onnxruntime's declarations borrow from browsers: declared here, so that the rest of `dom` stays out of
 * this program.
 */
type WebGLRenderingContext = object;
type WebGLTexture = object;
type HTMLImageElement = object;
type ImageBitmap = object;
type ImageData = object;
