using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks.Amqp;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Kafka.Load;

/// <summary>The frames and the window of the load generator for AMQP.</summary>
public sealed class AmqpLoadTests
{
    private const ushort Ack = 80, Nack = 120;

    [Fact]
    public void Persistent_message_is_a_method_a_header_and_a_body()
    {
        var writer = new AmqpFrameWriter();
        writer.AddPublish("", "q", "ab"u8, isPersistent: true);
        Assert.Equal("010001" + "0000000A" + "003C0028" + "0000" + "00" + "0171" + "00" + "CE"
            + "020001" + "0000000F" + "003C0000" + "0000000000000002" + "1000" + "02" + "CE"
            + "030001" + "00000002" + "6162" + "CE", Convert.ToHexString(writer.Bytes));
    }

    [Fact]
    public void Transient_message_has_no_delivery_mode()
    {
        var writer = new AmqpFrameWriter();
        writer.AddPublish("", "q", "ab"u8);
        Assert.Contains("020001" + "0000000E" + "003C0000" + "0000000000000002" + "0000" + "CE", Convert.ToHexString(writer.Bytes),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(21)]
    [InlineData(1000)]
    public void Confirms_are_read_from_pieces(int pieceBytes)
    {
        var writer = new AmqpFrameWriter();
        AddConfirm(writer, 3, isMultiple: true);
        AddConfirm(writer, 6);
        AddConfirm(writer, 4);
        var window = new ConfirmWindow(8);
        window.Publish(8, 1);
        var latencies = new LatencyHistogram();
        var reader = new AmqpFrameReader(4);
        var confirmed = new List<int>();
        for (var bytes = writer.Bytes; !bytes.IsEmpty;)
        {
            var free = reader.Free();
            var count = Math.Min(Math.Min(pieceBytes, free.Length), bytes.Length);
            bytes[..count].CopyTo(free);
            reader.Received(count);
            bytes = bytes[count..];
            while (reader.TryRead(out var frame))
                confirmed.Add(window.Confirm(frame, 2, latencies));
        }
        Assert.Equal("3 1 1", string.Join(' ', confirmed));
        Assert.Equal(5, latencies.Count);
        Assert.Equal(5, window.Free);
    }

    [Fact]
    public void Tag_zero_confirms_all_messages()
    {
        var window = new ConfirmWindow(4);
        window.Publish(3, 1);
        Assert.Equal(1, Confirm(window, 2));
        Assert.Equal(2, Confirm(window, 0, isMultiple: true));
        Assert.Equal(4, window.Free);
    }

    [Fact]
    public void Oldest_unconfirmed_message_limits_how_far_later_ones_go()
    {
        var window = new ConfirmWindow(2);
        window.Publish(2, 1);
        Assert.Equal(0, window.Free);
        var tag = 2;
        for (; tag < 100; tag++)
        {
            Assert.Equal(1, Confirm(window, tag));
            if (window.Free == 0)
                break;
            window.Publish(1, 1);
        }
        Assert.Equal(32, tag);
        Assert.Equal(1, Confirm(window, 1));
        Assert.Equal(2, window.Free);
    }

    [Theory]
    [InlineData(1, false, Nack)]
    [InlineData(1, false, Ack)] // is confirmed
    [InlineData(1, true, Ack)]
    [InlineData(3, true, Ack)] // is not published
    [InlineData(0, false, Ack)]
    public void Refused_or_unexpected_message_ends_the_load(long tag, bool isMultiple, ushort method)
    {
        var window = new ConfirmWindow(4);
        window.Publish(2, 1);
        Confirm(window, 1);
        Assert.Throws<PeerFailedException>(() => Confirm(window, tag, isMultiple, method));
    }

    [Fact]
    public void Delivery_is_complete_with_the_last_frame_of_its_body()
    {
        var writer = new AmqpFrameWriter();
        AddDelivery(writer, 7, "ab", "c");
        AddDelivery(writer, 8);
        var reader = Received(writer.Bytes);
        var deliveries = new DeliveryReader();
        var complete = new List<string>();
        for (var number = 1; reader.TryRead(out var frame); number++)
        {
            if (deliveries.Completes(frame))
                complete.Add($"{deliveries.Tag} with frame {number}");
        }
        Assert.Equal("7 with frame 4, 8 with frame 6", string.Join(", ", complete));
    }

    [Fact]
    public void Frame_without_its_end_is_reported()
    {
        var writer = new AmqpFrameWriter();
        writer.AddAck(1);
        var bytes = writer.Bytes.ToArray();
        bytes[^1] = 0;
        var reader = Received(bytes);
        Assert.Throws<InvalidOperationException>(() => reader.TryRead(out _));
    }

    private static void AddConfirm(AmqpFrameWriter writer, long tag, bool isMultiple = false, ushort method = Ack)
    {
        writer.Begin(AmqpFrame.MethodType, 1, 60, method);
        writer.Long(tag);
        writer.Octet((byte)(isMultiple ? 1 : 0));
        writer.End();
    }

    private static int Confirm(ConfirmWindow window, long tag, bool isMultiple = false, ushort method = Ack)
    {
        var writer = new AmqpFrameWriter();
        AddConfirm(writer, tag, isMultiple, method);
        Assert.True(Received(writer.Bytes).TryRead(out var frame));
        return window.Confirm(frame, 2, null);
    }

    private static void AddDelivery(AmqpFrameWriter writer, long tag, params string[] body)
    {
        writer.Begin(AmqpFrame.MethodType, 1, 60, 60);
        writer.Name("consumer");
        writer.Long(tag);
        writer.Octet(0);
        writer.Name("");
        writer.Name("q");
        writer.End();
        writer.Begin(AmqpFrame.HeaderType, 1, 60, 0);
        writer.Long(body.Sum(part => part.Length));
        writer.Short(0);
        writer.End();
        foreach (var part in body)
        {
            writer.BeginFrame(AmqpFrame.BodyType, 1);
            foreach (var letter in part)
                writer.Octet((byte)letter);
            writer.End();
        }
    }

    private static AmqpFrameReader Received(ReadOnlySpan<byte> bytes)
    {
        var reader = new AmqpFrameReader(bytes.Length);
        bytes.CopyTo(reader.Free());
        reader.Received(bytes.Length);
        return reader;
    }
}
