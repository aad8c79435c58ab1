namespace OrleansMq;

/// <summary>A record's header: a name and a value, which may be null.</summary>
/// <param name="Key">The name, as UTF-8.</param>
/// <param name="Value">The value; null is distinct from empty.</param>
public readonly record struct RecordHeader(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte>? Value);
