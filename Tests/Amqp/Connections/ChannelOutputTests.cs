using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Connections;

/// <summary>What a channel sends, where a method cannot be sent.</summary>
public sealed class ChannelOutputTests
{
    private readonly RecordedLog _log = new();
    private readonly Client _client = new();

    [Fact]
    public void Method_that_no_frame_can_carry_closes_its_connection_and_reaches_no_caller()
    {
        var output = new ChannelOutput(_client, _log);
        output.Add(new BasicAck(1, false));
        output.Add(new BasicDeliver("c", 1, false, "", new string('k', 256)), ContentProperties.None, "m"u8.ToArray());
        output.Add(new BasicAck(2, false));
        output.Flush();
        Assert.Equal([new BasicAck(1, false), new BasicAck(2, false)], _client.Sent);
        Assert.Equal(ReplyCode.InternalError, Assert.Single(_client.Faults).Code);
        Assert.StartsWith("Error: Channel 7 could not send a method; its connection is closed.", Assert.Single(_log.Lines),
            StringComparison.Ordinal);
        output.Send(new BasicAck(3, false));
        Assert.Equal(new BasicAck(3, false), _client.Sent[^1]);
    }

    [Fact]
    public void What_has_collected_goes_to_the_client_together()
    {
        var output = new ChannelOutput(_client, _log);
        output.Send(new BasicAck(1, false));
        Assert.Empty(_client.Holds);
        for (var tag = 2UL; tag <= 4; tag++)
            output.Add(new BasicAck(tag, false));
        output.Flush();
        Assert.Equal([1, 4], _client.Holds);
        Assert.Equal(4, _client.Sent.Count);
    }

    [Fact]
    public void Fault_of_a_method_does_not_hold_what_comes_later()
    {
        var output = new ChannelOutput(_client, _log);
        output.Add(new BasicAck(1, false));
        output.Add(new BasicDeliver("c", 1, false, "", new string('k', 256)), ContentProperties.None, "m"u8.ToArray());
        output.Flush();
        Assert.Equal([0, 1], _client.Holds);
    }

    private sealed class Client : IChannelClient
    {
        public List<IMethod> Sent { get; } = [];

        public List<AmqpException> Faults { get; } = [];

        // How many were sent at each Hold and Release.
        public List<int> Holds { get; } = [];

        public ushort Number => 7;

        AmqpClient IChannelClient.Client => throw new NotSupportedException();

        public bool IsFull => false;

        public bool CanDeliver => true;

        public Task Ending => Task.CompletedTask;

        public void Send<T>(in T method)
            where T : IMethod => Send(method, default, default);

        public void Send<T>(in T method, ContentProperties properties, ReadOnlySpan<byte> body)
            where T : IMethod
        {
            using var output = new PooledBuffer();
            Frames.WriteContent(output, Number, method, properties.Bytes.Span, body, 4096);
            Sent.Add(method);
        }

        public void Hold() => Holds.Add(Sent.Count);

        public void Release() => Holds.Add(Sent.Count);

        public Task WaitForRoomAsync() => Task.CompletedTask;

        public void Fail(AmqpException fault) => Faults.Add(fault);
    }
}
