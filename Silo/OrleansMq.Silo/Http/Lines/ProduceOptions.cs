using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Silo.Http.Lines;

/// <summary>What the query of a produce request asks for.</summary>
/// <param name="Acks">When a record counts as done.</param>
/// <param name="Compression">The codec of its batches.</param>
/// <param name="IsBase64">Whether keys, values and header values are base64 rather than text.</param>
internal readonly record struct ProduceOptions(Acks Acks, CompressionType Compression, bool IsBase64);
