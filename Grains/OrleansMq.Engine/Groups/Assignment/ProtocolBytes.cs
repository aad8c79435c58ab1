using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Unicode;

namespace OrleansMq.Groups.Assignment;

/// <summary>Decodes Kafka's older (not flexible) encoding from untrusted bytes: big-endian, int16 string lengths, int32 counts. The first
/// fault sets <see cref="Error"/>, and everything read after it is empty, so that callers check only at the end.</summary>
internal ref struct ProtocolReader(ReadOnlyMemory<byte> bytes)
{
    private readonly ReadOnlyMemory<byte> _bytes = bytes;
    private int _position;

    /// <summary>The first fault and its position; null for none.</summary>
    public string? Error { get; private set; }

    public short ReadInt16(string field) => Take(2, field, out var span) ? BinaryPrimitives.ReadInt16BigEndian(span) : (short)0;

    public int ReadInt32(string field) => Take(4, field, out var span) ? BinaryPrimitives.ReadInt32BigEndian(span) : 0;

    public string ReadString(string field) => ReadNullableString(field, nullable: false) ?? "";

    public string? ReadNullableString(string field, bool nullable = true)
    {
        var length = ReadInt16(field);
        if (Error is not null || (length == -1 && nullable))
            return null;
        if (!Take(length, field, out var span))
            return null;
        if (Utf8.IsValid(span))
            return Encoding.UTF8.GetString(span);
        Fail(field, "is not UTF-8");
        return null;
    }

    public ReadOnlyMemory<byte>? ReadNullableBytes(string field)
    {
        var length = ReadInt32(field);
        if (Error is not null || length == -1)
            return null;
        var start = _position;
        return Take(length, field, out _) ? _bytes.Slice(start, length) : null;
    }

    /// <summary>Reads the count of an array whose elements have at least <paramref name="leastBytes"/> bytes. It never exceeds what the
    /// remaining bytes can hold.</summary>
    public int ReadCount(string field, int leastBytes)
    {
        var count = ReadInt32(field);
        if (Error is not null)
            return 0;
        if (count >= 0 && (long)count * leastBytes <= _bytes.Length - _position)
            return count;
        Fail(field, $"has a count of {count}, which {_bytes.Length - _position} bytes cannot hold");
        return 0;
    }

    public List<TopicPartition> ReadTopicPartitions(string field)
    {
        var partitions = new List<TopicPartition>();
        for (var topics = ReadCount(field, leastBytes: 6); topics > 0 && Error is null; topics--)
        {
            var topic = ReadString(field + ".topic");
            for (var count = ReadCount(field + ".partitions", leastBytes: 4); count > 0; count--)
            {
                var partition = ReadInt32(field + ".partitions");
                if (partition < 0)
                    Fail(field + ".partitions", $"has {partition} in it");
                partitions.Add(new TopicPartition(topic, partition));
            }
        }
        return partitions;
    }

    [MemberNotNull(nameof(Error))]
    public void Fail(string field, string fault) => Error ??= $"{field} {fault} (at byte {_position} of {_bytes.Length}).";

    private bool Take(int length, string field, out ReadOnlySpan<byte> span)
    {
        span = default;
        if (Error is not null)
            return false;
        if (length < 0 || length > _bytes.Length - _position)
        {
            Fail(field, $"takes {length} bytes, {_bytes.Length - _position} are left");
            return false;
        }
        span = _bytes.Span.Slice(_position, length);
        _position += length;
        return true;
    }
}

/// <summary>Writes Kafka's older encoding, see <see cref="ProtocolReader"/>.</summary>
internal sealed class ProtocolWriter
{
    private readonly MemoryStream _bytes = new();

    public byte[] ToArray() => _bytes.ToArray();

    public void WriteInt16(short value)
    {
        Span<byte> span = stackalloc byte[2];
        BinaryPrimitives.WriteInt16BigEndian(span, value);
        _bytes.Write(span);
    }

    public void WriteInt32(int value)
    {
        Span<byte> span = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(span, value);
        _bytes.Write(span);
    }

    public void WriteNullableString(string? value)
    {
        if (value is null)
        {
            WriteInt16(-1);
            return;
        }
        var bytes = Encoding.UTF8.GetBytes(value);
        if (bytes.Length > short.MaxValue)
            throw new ArgumentException(
                $"A name of {bytes.Length} bytes cannot be written, {short.MaxValue} is the most: '{value[..20]}…'.", nameof(value));
        WriteInt16((short)bytes.Length);
        _bytes.Write(bytes);
    }

    public void WriteNullableBytes(ReadOnlyMemory<byte>? value)
    {
        WriteInt32(value?.Length ?? -1);
        if (value is { } bytes)
            _bytes.Write(bytes.Span);
    }

    public void WriteTopicPartitions(IEnumerable<TopicPartition> partitions)
    {
        var topics = partitions.GroupBy(partition => partition.Topic, StringComparer.Ordinal)
            .OrderBy(topic => topic.Key, StringComparer.Ordinal).ToList();
        WriteInt32(topics.Count);
        foreach (var topic in topics)
        {
            WriteNullableString(topic.Key);
            var numbers = topic.Select(partition => partition.Partition).Order().ToList();
            WriteInt32(numbers.Count);
            numbers.ForEach(WriteInt32);
        }
    }
}
