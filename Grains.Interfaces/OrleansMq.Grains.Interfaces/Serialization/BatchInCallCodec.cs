using System.Buffers;
using Orleans.Serialization.Buffers;
using Orleans.Serialization.Codecs;
using Orleans.Serialization.WireProtocol;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="BatchInCall"/> between silos: its length, then its bytes. They are written from the caller's memory
/// and read into pooled memory.</summary>
[RegisterSerializer]
internal sealed class BatchInCallCodec : IFieldCodec<BatchInCall>
{
    /// <inheritdoc/>
    public void WriteField<TBufferWriter>(ref Writer<TBufferWriter> writer, uint fieldIdDelta, Type? expectedType, BatchInCall? value)
        where TBufferWriter : IBufferWriter<byte>
    {
        ArgumentNullException.ThrowIfNull(value);
        ReferenceCodec.MarkValueField(writer.Session);
        writer.WriteFieldHeader(fieldIdDelta, expectedType, typeof(BatchInCall), WireType.LengthPrefixed);
        value.Read(ref writer, static (ref Writer<TBufferWriter> writer, ReadOnlySpan<byte> bytes) =>
        {
            writer.WriteVarUInt32((uint)bytes.Length);
            writer.Write(bytes);
        });
    }

    /// <inheritdoc/>
    public BatchInCall ReadValue<TInput>(ref Reader<TInput> reader, Field field)
    {
        field.EnsureWireType(WireType.LengthPrefixed);
        ReferenceCodec.MarkValueField(reader.Session);
        var length = reader.ReadVarUInt32();
        reader.EnsureAvailable(length);
        var batch = BatchInCall.Receive((int)length, out var bytes);
        reader.ReadBytes(bytes);
        return batch;
    }
}
