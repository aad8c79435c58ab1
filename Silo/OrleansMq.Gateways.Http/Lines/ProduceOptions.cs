namespace OrleansMq.Gateways.Http.Lines;

/// <summary>The options in the query of a produce request.</summary>
/// <param name="Acks">When a record counts as appended.</param>
/// <param name="Compression">The codec of its batches.</param>
/// <param name="IsBase64">Whether keys, values and header values are base64 rather than text.</param>
internal readonly record struct ProduceOptions(Acks Acks, CompressionType Compression, bool IsBase64);
