using System.Buffers.Binary;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Frames as large as the port takes, which announce as many elements as their size allows: decoding one allocates at most a fixed
/// amount, however large it is.</summary>
public sealed class HostileFrameTests
{
    // 250,000 elements of the largest kind take less.
    private const long MaxAllocated = 96L << 20;
    // The most that the port takes by default.
    private const int MaxFrame = 100 << 20;

    [Fact]
    public void Frame_that_announces_as_many_elements_as_it_has_room_for_allocates_a_bounded_amount()
    {
        var buffers = new Dictionary<byte, byte[]> { [0] = new byte[MaxFrame], [1] = new byte[MaxFrame] };
        buffers[1].AsSpan().Fill(1);
        var decoded = 0;
        foreach (var api in ApiTable.All)
        {
            foreach (var version in new[] { api.MinDecodedVersion, api.MaxVersion })
            {
                // One byte of 1 is an empty string or array in a flexible version; zeros are in the others.
                var buffer = buffers[api.IsFlexible(version) ? (byte)1 : (byte)0];
                var frame = buffer.AsMemory(0, Math.Min(api.MaxBytes, MaxFrame));
                var sample = Sample(api, version);
                for (var at = 8; at < sample.Length; at++)
                {
                    foreach (var count in new[] { frame.Length / 4, frame.Length / 32, 250_000 })
                    {
                        var length = Announce(sample.AsSpan(0, at), count, api.IsFlexible(version), frame.Span);
                        var before = GC.GetAllocatedBytesForCurrentThread();
                        ApiTable.Decode(frame);
                        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                        Assert.True(allocated <= MaxAllocated, $"{api.Key} {version}: {allocated} bytes for {count} elements at {at}.");
                        frame.Span[..length].Fill(buffer[^1]);
                        decoded++;
                    }
                }
            }
        }
        Assert.True(decoded > 1000);
    }

    [Fact]
    public void Text_of_a_request_is_bounded()
    {
        var frame = new byte[MaxFrame];
        var reader = new RequestReader(frame) { IsFlexible = true };
        // 65,536 bytes, plus one.
        Assert.Equal([0x81, 0x80, 0x04], (byte[])[.. Varint(65_537)]);
        Varint(65_537).CopyTo(frame, 0);
        Assert.Equal("", reader.ReadString());
        Assert.Contains("string", reader.Fault, StringComparison.Ordinal);

        reader = new RequestReader(frame) { IsFlexible = true };
        var text = Varint(32_001);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var at = 0; at + text.Length + 32_000 <= frame.Length; at += text.Length + 32_000)
        {
            text.CopyTo(frame, at);
            reader.ReadString();
        }
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, MaxAllocated);
        Assert.NotNull(reader.Fault);
    }

    private static byte[] Sample(KafkaApi api, short version) =>
        new MessageEncoder(new SampleValues((short)api.Key, version, Guid.Empty))
            .Request(Schema.Request((short)api.Key), version, 1, "client");

    /// <summary>Writes the beginning of a frame and a number of elements. Returns how many bytes.</summary>
    private static int Announce(ReadOnlySpan<byte> start, int count, bool isFlexible, Span<byte> frame)
    {
        start.CopyTo(frame);
        if (!isFlexible)
        {
            BinaryPrimitives.WriteInt32BigEndian(frame[start.Length..], count);
            return start.Length + sizeof(int);
        }
        var length = Varint(count + 1);
        length.CopyTo(frame[start.Length..]);
        return start.Length + length.Length;
    }

    private static byte[] Varint(int value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        return [.. bytes];
    }
}
