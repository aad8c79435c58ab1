using System.Net;
using System.Text;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;

namespace OrleansMq.Tests.Amqp.Connections;

/// <summary>A machine, its time and its client, whose talk is a text: what the machine sent and asked for.</summary>
internal sealed class MachineUnderTest
{
    private readonly PooledBuffer _input = new();
    private readonly List<ConnectionAction> _actions = [];

    private readonly TaskCompletionSource<AmqpException> _evicted = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public MachineUnderTest(ConnectionSettings? settings = null, MemoryBudget? memory = null) => Machine = new ConnectionMachine(
        settings ?? new ConnectionSettings(), new AmqpClient(new IPEndPoint(IPAddress.Loopback, 1)), memory, _evicted.SetResult);

    /// <summary>Completes where other connections need the memory, with the error that the machine is to be given.</summary>
    public Task<AmqpException> Evicted => _evicted.Task;

    public ConnectionMachine Machine { get; }

    public TimeSpan Now { get; set; }

    /// <summary>The actions so far, in their order.</summary>
    public IReadOnlyList<ConnectionAction> Actions => _actions;

    /// <summary>A machine whose virtual host is open; what it said so far is dropped.</summary>
    public static MachineUnderTest Running(FieldTable properties = default, ushort channelMax = 2047, ushort heartbeat = 0,
        uint frameMax = 131072, ConnectionSettings? settings = null)
    {
        var machine = new MachineUnderTest(settings);
        return machine.Start(properties, channelMax, heartbeat, frameMax);
    }

    /// <summary>Opens the virtual host, and drops what was said.</summary>
    public MachineUnderTest Start(FieldTable properties = default, ushort channelMax = 2047, ushort heartbeat = 0, uint frameMax = 131072)
    {
        Header().Method(0, StartOk(properties));
        LogIn(new LoginResult(LoginOutcome.Accepted));
        Method(0, new ConnectionTuneOk(channelMax, frameMax, heartbeat)).Method(0, new ConnectionOpen("/"));
        Take(ActionKind.OpenHost);
        Machine.HostOpened(null, Now);
        Assert.EndsWith("0 connection.open-ok", Said(), StringComparison.Ordinal);
        return this;
    }

    public static ConnectionStartOk StartOk(FieldTable properties = default, string mechanism = "PLAIN",
        string response = "\0guest\0secret") => new(properties, mechanism, LongString.Of(response), "en_US");

    /// <summary>Properties with capabilities.</summary>
    public static FieldTable Capable(params string[] names) => FieldTable.Of(("capabilities",
        FieldValue.Of(FieldTable.Of([.. names.Select(static name => (name, FieldValue.Of(true)))]))));

    public MachineUnderTest Header() => Bytes(ProtocolHeader.Amqp091);

    public MachineUnderTest Bytes(ReadOnlySpan<byte> bytes)
    {
        _input.Write(bytes);
        return Continue();
    }

    /// <summary>Lets the machine take what it left.</summary>
    public MachineUnderTest Continue()
    {
        var rest = _input.WrittenSpan[Machine.Consume(_input.WrittenSpan, Now)..].ToArray();
        _input.Clear();
        _input.Write(rest);
        return this;
    }

    public MachineUnderTest Method<T>(ushort channel, T method)
        where T : IMethod
    {
        using var output = new PooledBuffer();
        Frames.WriteMethod(output, channel, method);
        return Bytes(output.WrittenSpan);
    }

    public MachineUnderTest Publish(ushort channel, string body = "hello", int frameMax = 4096)
    {
        using var output = new PooledBuffer();
        Frames.WriteContent(output, channel, new BasicPublish("x", "k", false, false), ContentProperties.None.Bytes.Span,
            Encoding.UTF8.GetBytes(body), frameMax);
        return Bytes(output.WrittenSpan);
    }

    public MachineUnderTest Frame(FrameType type, ushort channel, string payload, string end = "CE") => Bytes(
        Convert.FromHexString($"{(int)type:X2}{channel:X4}{payload.Length / 2:X8}{payload}{end}"));

    public void LogIn(LoginResult result) => Machine.LoggedIn(result, Take(ActionKind.Login).Login!, Now);

    /// <summary>Opens a channel, and drops what was said.</summary>
    public ChannelState Open(ushort number)
    {
        Method(number, default(ChannelOpen));
        var channel = Take(ActionKind.OpenChannel).Channel!;
        Machine.ChannelOpened(channel, Now);
        Assert.Equal($"{number} channel.open-ok", Said());
        return channel;
    }

    /// <summary>Takes the last action, of this kind.</summary>
    public ConnectionAction Take(ActionKind kind)
    {
        TakeActions();
        Assert.Equal(kind, _actions[^1].Kind);
        return _actions[^1];
    }

    public MachineUnderTest After(double seconds)
    {
        Now += TimeSpan.FromSeconds(seconds);
        Machine.Tick(Now);
        return this;
    }

    /// <summary>What the machine sent since the last call, one frame a line, and after it what it asked for, with a sign.</summary>
    public string Said()
    {
        var lines = new List<string>();
        for (var rest = Machine.Output.WrittenSpan; !rest.IsEmpty;)
        {
            if (rest.StartsWith("AMQP"u8))
            {
                lines.Add("header " + string.Join('.', rest[4..8].ToArray()));
                rest = rest[8..];
                continue;
            }
            var head = FrameHead.Read(rest);
            var payload = rest.Slice(FrameHead.Bytes, (int)head.Size);
            lines.Add(head.Type switch
            {
                FrameType.Method => $"{head.Channel} {Text(Frames.ReadMethod(payload))}",
                FrameType.Heartbeat => "heartbeat",
                _ => $"{head.Channel} {head.Type} {head.Size}",
            });
            rest = rest[(Frames.Overhead + (int)head.Size)..];
        }
        Machine.Output.Clear();
        var known = _actions.Count;
        TakeActions();
        lines.AddRange(_actions.Skip(known).Select(Text));
        return string.Join('\n', lines);
    }

    /// <summary>As <see cref="Said"/>, after a channel has ended that the machine ends.</summary>
    public string SaidAfterEnd(ushort number)
    {
        var end = Take(ActionKind.EndChannel);
        Assert.Equal(number, end.Channel!.Number);
        Machine.ChannelEnded(end.Channel, Now);
        return Said();
    }

    private void TakeActions()
    {
        while (Machine.TryTakeAction(out var action))
            _actions.Add(action);
    }

    private static string Text(IMethod method) => method switch
    {
        ConnectionClose close => $"connection.close {close.ReplyText} ({close.ReplyCode}, {close.ClassId}.{close.MethodId})",
        ChannelClose close => $"channel.close {close.ReplyText} ({close.ReplyCode}, {close.ClassId}.{close.MethodId})",
        ConnectionTune tune => $"connection.tune {tune.ChannelMax} {tune.FrameMax} {tune.Heartbeat}",
        ConnectionBlocked blocked => $"connection.blocked {blocked.Reason}",
        _ => method.Id.ToString(),
    };

    private static string Text(ConnectionAction action) => $"> {action.Kind}"
        + (action.Channel is { } channel ? $" {channel.Number}" : "") + (action.Method is { } method ? $" {method.Id}" : "")
        + (action.Content is { } content ? $" '{Encoding.UTF8.GetString(content.Body.Span)}'" : "")
        + (action.Login is { } login ? $" {login} with {login.Password}" : "") + (action.Text is { } text ? $": {text}" : "");
}
