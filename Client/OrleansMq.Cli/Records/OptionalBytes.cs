using System.Buffers;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary>Bytes as they are; null means no key, or a tombstone.</summary>
internal sealed class OptionalBytes : ISerde<ReadOnlyMemory<byte>?>
{
    /// <summary>The shared instance.</summary>
    public static OptionalBytes Instance { get; } = new();

    /// <inheritdoc/>
    public void Serialize(ReadOnlyMemory<byte>? value, IBufferWriter<byte> destination) =>
        destination.Write(value.GetValueOrDefault().Span);

    /// <inheritdoc/>
    public ReadOnlyMemory<byte>? Deserialize(ReadOnlySpan<byte> bytes, bool isNull) =>
        isNull ? (ReadOnlyMemory<byte>?)null : bytes.ToArray();
}
