using System.Buffers.Binary;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;
using OrleansMq.Tests.Amqp.Wire;
using OrleansMq.Tests.Fuzz.Cases;

namespace OrleansMq.Tests.Fuzz.InProcess.Amqp;

/// <summary>
/// Writes what one client sends: mostly what a client of RabbitMQ would, on a few channels, with names that were declared before; and now
/// and then what none would. A piece is what is sent before the answers to it are seen.
/// </summary>
/// <param name="random">Decides.</param>
/// <param name="connection">Tells how its channels are, at the beginning of a piece.</param>
/// <param name="bytes">Takes the frames.</param>
internal sealed class ClientScript(Random random, MemoryConnection connection, PooledBuffer bytes)
{
    private const int MaxChannels = 4;
    private const int MaxConsumers = 6;
    // Steps of a connection, of which one each is broken.
    private const int BrokenMethodOneIn = 250;
    private const int BrokenContentOneIn = 300;
    private const int BrokenConnectionOneIn = 400;
    private const int AnyMethodOneIn = 500;
    private const int MutatedOneIn = 250;
    // A log is slower than memory.
    private const int OnLogOneIn = 60;

    private static readonly uint[] FrameSizes = [4096, 8192, 131_072];
    private static readonly ushort[] ChannelLimits = [MaxChannels, 64, 2047];
    private static readonly string[] Capabilities =
        ["authentication_failure_close", "consumer_cancel_notify", "connection.blocked", "basic.nack", "publisher_confirms"];
    private static readonly string[] Keys = ["", "a", "b", "a.b", "a.b.c", "q0"];
    private static readonly string[] Patterns = ["", "a", "a.*", "#", "*.b.#", "a.b"];
    private static readonly byte[] Body = new byte[20_000];

    // By the name's place: arguments that a declaration has mostly.
    private static readonly (string Name, bool Durable, bool Exclusive, bool AutoDelete, FieldTable Arguments)[] Queues =
    [
        ("q0", false, false, false, default),
        ("q1", false, false, false, FieldTable.Of(("x-max-length", FieldValue.Of(10)))),
        ("q2", false, false, false, FieldTable.Of(("x-message-ttl", FieldValue.Of(20)), ("x-max-length-bytes", FieldValue.Of(5_000)),
            ("x-dead-letter-exchange", FieldValue.Of("x1")))),
        ("q3", false, false, false, FieldTable.Of(("x-max-priority", FieldValue.Of(5)), ("x-overflow", FieldValue.Of("reject-publish")),
            ("x-max-length", FieldValue.Of(100)))),
        ("q4", false, false, false, FieldTable.Of(("x-single-active-consumer", FieldValue.Of(true)))),
        ("q5", false, false, true, FieldTable.Of(("x-max-length", FieldValue.Of(500)))),
        ("q6", false, true, false, FieldTable.Of(("x-expires", FieldValue.Of(60_000)))),
        ("q7", true, false, false, default),
        ("q8", true, false, false, FieldTable.Of(("x-queue-type", FieldValue.Of("quorum")), ("x-delivery-limit", FieldValue.Of(2)),
            ("x-dead-letter-exchange", FieldValue.Of("x0")))),
    ];
    private const int QueuesInMemory = 7;

    private static readonly (string Name, string Type, FieldTable Arguments)[] Exchanges =
    [
        ("x0", "direct", default),
        ("x1", "fanout", default),
        ("x2", "topic", FieldTable.Of(("alternate-exchange", FieldValue.Of("x1")))),
        ("x3", "headers", default),
        ("x4", "x-consistent-hash", default),
        ("x5", "x-random", default),
        ("x6", "x-delayed-message", FieldTable.Of(("x-delayed-type", FieldValue.Of("topic")))),
    ];

    private static readonly ContentProperties[] Common =
    [
        ContentProperties.None, ContentProperties.None,
        ContentProperties.None.With(BasicProperty.DeliveryMode, [2]),
        ContentProperties.None.With(FieldTable.Of(("a", FieldValue.Of(1)), ("b", FieldValue.Of("2")))),
        ContentProperties.None.With(BasicProperty.Priority, [3]).With(BasicProperty.ContentType, "text/plain"),
        ContentProperties.None.With(BasicProperty.MessageId, "id").With(BasicProperty.CorrelationId, "corr")
            .With(BasicProperty.AppId, "fuzz"),
    ];

    private static readonly ContentProperties[] Rare =
    [
        ContentProperties.None.With(FieldTable.Of(("CC", FieldValue.OfArray(FieldValue.Of("q1"), FieldValue.Of("a.b"))),
            ("BCC", FieldValue.OfArray(FieldValue.Of("q0"))))),
        ContentProperties.None.With(BasicProperty.Expiration, "20"),
        ContentProperties.None.With(BasicProperty.Expiration, "0"),
        ContentProperties.None.With(Nested(20)),
        ContentProperties.None.With(Nested(60)),
    ];

    private static readonly ContentProperties[] Refused =
    [
        ContentProperties.None.With(BasicProperty.Expiration, "x"),
        ContentProperties.None.With(BasicProperty.UserId, "other"),
        ContentProperties.None.With(BasicProperty.ReplyTo, "amq.rabbitmq.reply-to"),
        ContentProperties.None.With(FieldTable.Of(("CC", FieldValue.Of("q1")))),
        ContentProperties.None.With(FieldTable.Of(("x-record-key", FieldValue.Of(1)))),
        ContentProperties.None.With(FieldTable.Of(("x-delay", FieldValue.Of(5)))),
    ];

    private readonly ChannelTalkState?[] _states = new ChannelTalkState?[MaxChannels + 1];
    private readonly bool[] _isTransactional = new bool[MaxChannels + 1];
    private readonly List<string>[] _consumers = [.. Enumerable.Range(0, MaxChannels + 1).Select(static _ => new List<string>())];
    private int _frameMax = (int)FrameSizes[0];
    private int _tags;

    /// <summary>The frames so far.</summary>
    public int Written { get; private set; }

    /// <summary>Writes what a connection begins with.</summary>
    public void WriteHandshake()
    {
        if (random.Next(100) == 0)
        {
            bytes.Write(random.Next(3) switch
            {
                0 => "AMQP\0\u0001\0\0"u8,
                1 => "GET / HTTP/1.1\r\n\r\n"u8,
                _ => Mutator.Noise(random, 100),
            });
            Written++;
            return;
        }
        bytes.Write(ProtocolHeader.Amqp091);
        Written++;
        var start = bytes.Length;
        var isChallenged = random.Next(20) == 0;
        var password = isChallenged ? MemoryBroker.Challenged : random.Next(80) == 0 ? "wrong" : MemoryBroker.User;
        var isPlain = random.Next(3) > 0;
        Method(0, new ConnectionStartOk(FieldTable.Of(("connection_name", FieldValue.Of("fuzz")), ("capabilities", FieldValue.Of(
            FieldTable.Of([.. Capabilities.Where(_ => random.Next(4) > 0).Select(static name => (name, FieldValue.Of(true)))])))),
            random.Next(100) == 0 ? "EXTERNAL" : isPlain ? "PLAIN" : "AMQPLAIN", Response(isPlain, password), "en_US"));
        if (isChallenged)
            Method(0, new ConnectionSecureOk(Response(isPlain, MemoryBroker.User)));
        _frameMax = (int)FrameSizes[random.Next(FrameSizes.Length)];
        Method(0, new ConnectionTuneOk(ChannelLimits[random.Next(ChannelLimits.Length)], random.Next(100) == 0 ? 1u : (uint)_frameMax,
            (ushort)(random.Next(2) * 60)));
        Method(0, new ConnectionOpen(random.Next(100) == 0 ? "missing" : MemoryBroker.Host));
        if (random.Next(12) == 0)
            Mutate(start);
    }

    /// <summary>Begins a piece: what the broker has answered is seen.</summary>
    public void Look()
    {
        for (ushort number = 1; number <= MaxChannels; number++)
            _states[number] = connection.StateOf(number);
    }

    /// <summary>Writes the declarations of the names that are used later, and some bindings.</summary>
    public void WriteDeclarations()
    {
        Open(1);
        foreach (var exchange in Exchanges)
            Method(1, new ExchangeDeclare(exchange.Name, exchange.Type, false, false, false, false, true, exchange.Arguments));
        foreach (var queue in Queues.AsSpan(0, random.Next(4) == 0 ? Queues.Length : QueuesInMemory - 1))
        {
            Method(1, new QueueDeclare(queue.Name, false, queue.Durable, queue.Exclusive, queue.AutoDelete, true, queue.Arguments));
            var (source, pattern) = Binding();
            Method(1, new QueueBind(queue.Name, source, pattern, true, default));
        }
    }

    /// <summary>Writes the answer to the broker's close.</summary>
    public void WriteCloseOk() => Method(0, default(ConnectionCloseOk));

    /// <summary>Writes a close.</summary>
    public void WriteClose() => Method(0, new ConnectionClose(200, "bye", 0, 0));

    /// <summary>Writes the next step.</summary>
    public void Write()
    {
        var start = bytes.Length;
        var channel = (ushort)(1 + random.Next(MaxChannels));
        if (random.Next(BrokenConnectionOneIn) == 0)
            WriteOfConnection(channel);
        else if (_states[channel] is ChannelTalkState.Open or ChannelTalkState.Opening)
            WriteCommand(channel);
        else if (_states[channel] == ChannelTalkState.ClosedByServer && random.Next(200) > 0)
            CloseOk(channel);
        else
            Open(channel);
        if (random.Next(MutatedOneIn) == 0)
            Mutate(start);
    }

    private void WriteCommand(ushort channel)
    {
        if (random.Next(BrokenContentOneIn) == 0)
        {
            WriteBrokenContent(channel);
            return;
        }
        if (random.Next(AnyMethodOneIn) == 0)
        {
            Method(channel, RandomMethods.Method(MethodTable.All[random.Next(MethodTable.All.Count)], random));
            return;
        }
        switch (random.Next(100))
        {
            case < 18: Settle(channel); break;
            case < 28: Method(channel, new BasicGet(Queue(), random.Next(4) == 0)); break;
            case < 31: Consume(channel); break;
            case < 33: Cancel(channel); break;
            case < 36: DeclareQueue(channel); break;
            case < 38: DeclareExchange(channel); break;
            case < 41: Bind(channel); break;
            case 41: Unbind(channel); break;
            case 42: Method(channel, new QueuePurge(Queue(), Rarely())); break;
            case 43: Delete(channel); break;
            case 44: Method(channel, new BasicQos(random.Next(300) == 0 ? 1u : 0, (ushort)random.Next(20), random.Next(4) == 0)); break;
            case 45: Recover(channel); break;
            case 46: Method(channel, new AccessRequest("/data", false, false, true, true, true)); break;
            case 47: Method(channel, new ChannelFlow(random.Next(300) > 0)); break;
            case 48: Close(channel); break;
            case 49: Frame(FrameType.Heartbeat, 0, default); break;
            case < 54 when _isTransactional[channel]: End(channel); break;
            case 55 when random.Next(10) == 0: Interleave(channel); break;
            default: Publish(channel, bytes.Length); break;
        }
    }

    private void Open(ushort channel)
    {
        Method(channel, default(ChannelOpen));
        _consumers[channel].Clear();
        _isTransactional[channel] = random.Next(8) == 0;
        _states[channel] = ChannelTalkState.Open;
        if (_isTransactional[channel])
            Method(channel, default(TxSelect));
        else if (random.Next(2) == 0)
            Method(channel, new ConfirmSelect(Rarely()));
    }

    private void CloseOk(ushort channel)
    {
        Method(channel, default(ChannelCloseOk));
        _states[channel] = null;
    }

    // What follows waits for close-ok: until then the number is not free.
    private void Close(ushort channel)
    {
        if (random.Next(5) > 0)
            return;
        Method(channel, new ChannelClose(200, "bye", 0, 0));
        _states[channel] = ChannelTalkState.Opening;
    }

    private void Publish(ushort channel, int start)
    {
        var exchange = random.Next(3) == 0 ? "" : Exchange();
        var body = Body.AsSpan(0, random.Next(60) == 0 ? random.Next(Body.Length) : random.Next(200));
        // A body in small parts.
        var frameMax = body.Length < 200 && random.Next(8) == 0 ? Frames.Overhead + 1 + random.Next(100) : _frameMax;
        Frames.WriteContent(bytes, channel, new BasicPublish(exchange, exchange.Length == 0 ? Queue() : Keys[random.Next(Keys.Length)],
            random.Next(4) == 0, random.Next(2_000) == 0), Properties().Bytes.Span, body, frameMax);
        Written += FramesSince(start);
    }

    // A method and its content on one channel, and between them what another one sends.
    private void Interleave(ushort channel)
    {
        var other = (ushort)(1 + (channel % MaxChannels));
        Method(channel, new BasicPublish("", "q0", false, false));
        if (_states[other] == ChannelTalkState.Open)
            Publish(other, bytes.Length);
        Header(channel, BasicPublish.Id.ClassId, 10, ContentProperties.None.Bytes.Span);
        Frame(FrameType.Heartbeat, 0, default);
        Frame(FrameType.Body, channel, Body.AsSpan(0, 4));
        Frame(FrameType.Body, channel, default);
        if (_states[other] == ChannelTalkState.Open)
            Settle(other);
        if (random.Next(10) > 0)
            Frame(FrameType.Body, channel, Body.AsSpan(0, 6));
    }

    private void Settle(ushort channel)
    {
        var isMultiple = random.Next(6) == 0;
        var tag = connection.TakeTag(channel, random.Next(), isMultiple);
        if (tag == 0 && random.Next(300) > 0)
        {
            Publish(channel, bytes.Length);
            return;
        }
        switch (random.Next(5))
        {
            case 0: Method(channel, new BasicNack(tag, isMultiple, random.Next(2) == 0)); break;
            case 1 when !isMultiple: Method(channel, new BasicReject(tag, random.Next(2) == 0)); break;
            default: Method(channel, new BasicAck(tag, isMultiple)); break;
        }
    }

    private void Consume(ushort channel)
    {
        if (_consumers[channel].Count >= MaxConsumers)
        {
            Cancel(channel);
            return;
        }
        var isAgain = random.Next(500) == 0 && _consumers[channel].Count > 0;
        var tag = isAgain ? _consumers[channel][0] : random.Next(10) == 0 ? "" : $"c{_tags++}";
        if (tag.Length > 0 && !isAgain)
            _consumers[channel].Add(tag);
        var isReply = random.Next(40) == 0;
        Method(channel, new BasicConsume(isReply ? "amq.rabbitmq.reply-to" : Queue(), tag, false, isReply || random.Next(5) == 0,
            random.Next(60) == 0, Rarely(), random.Next(10) == 0 ? FieldTable.Of(("x-priority", FieldValue.Of(random.Next(10))))
                : default));
    }

    private void Cancel(ushort channel)
    {
        var tags = _consumers[channel];
        var at = tags.Count == 0 ? -1 : random.Next(tags.Count);
        Method(channel, new BasicCancel(at < 0 ? "none" : tags[at], Rarely()));
        if (at >= 0)
            tags.RemoveAt(at);
    }

    private void DeclareQueue(ushort channel)
    {
        var queue = Queues[random.Next(OnLogOneIn) == 0 ? QueuesInMemory + random.Next(Queues.Length - QueuesInMemory)
            : random.Next(QueuesInMemory)];
        switch (random.Next(40))
        {
            case 0:
                Method(channel, new QueueDeclare("", false, false, true, true, false, default));
                break;
            case 1:
                Method(channel, new QueueDeclare(queue.Name, true, false, false, false, Rarely(), default));
                break;
            case 2 when random.Next(10) == 0:
                // A declaration that differs, or cannot be.
                Method(channel, new QueueDeclare(queue.Name, false, false, false, Rarely(), false, RandomMethods.Table(random)));
                break;
            default:
                Method(channel, new QueueDeclare(queue.Name, false, queue.Durable, queue.Exclusive, queue.AutoDelete, Rarely(),
                    queue.Arguments));
                break;
        }
    }

    private void DeclareExchange(ushort channel)
    {
        var exchange = Exchanges[random.Next(Exchanges.Length)];
        var isOther = random.Next(200) == 0;
        Method(channel, new ExchangeDeclare(exchange.Name, isOther ? "other" : exchange.Type, random.Next(10) == 0, false, false, false,
            Rarely(), isOther ? RandomMethods.Table(random) : exchange.Arguments));
    }

    private void Bind(ushort channel)
    {
        var (source, pattern) = Binding();
        var arguments = source is "x3" or "amq.headers" ? FieldTable.Of(("a", FieldValue.Of(1)), ("x-match", FieldValue.Of("any")))
            : default;
        if (random.Next(4) == 0)
            Method(channel, new ExchangeBind(Exchange(), source, pattern, Rarely(), arguments));
        else
            Method(channel, new QueueBind(Queue(), source, pattern, Rarely(), arguments));
    }

    private void Unbind(ushort channel)
    {
        var (source, pattern) = Binding();
        if (random.Next(2) == 0)
            Method(channel, new ExchangeUnbind(Exchange(), source, pattern, Rarely(), default));
        else
            Method(channel, new QueueUnbind(Queue(), source, pattern, default));
    }

    private void Delete(ushort channel)
    {
        if (random.Next(3) > 0)
            return;
        if (random.Next(3) == 0)
            Method(channel, new ExchangeDelete(Exchange(), random.Next(3) == 0, Rarely()));
        else
            Method(channel, new QueueDelete(Queue(), random.Next(6) == 0, random.Next(6) == 0, Rarely()));
    }

    private void Recover(ushort channel)
    {
        if (random.Next(2) == 0)
            Method(channel, new BasicRecover(random.Next(300) > 0));
        else
            Method(channel, new BasicRecoverAsync(true));
    }

    private void End(ushort channel)
    {
        if (random.Next(3) == 0)
            Method(channel, default(TxRollback));
        else
            Method(channel, default(TxCommit));
    }

    private void WriteBrokenContent(ushort channel)
    {
        var none = ContentProperties.None.Bytes.Span;
        var @class = BasicPublish.Id.ClassId;
        var kind = random.Next(10);
        if (kind > 1)
            Method(channel, new BasicPublish("", "q0", false, false));
        switch (kind)
        {
            case 0: Header(channel, @class, 1, none); break;
            case 1: Frame(FrameType.Body, channel, Body.AsSpan(0, 1)); break;
            case 2: Method(channel, new BasicGet("q0", true)); break;
            case 3: Frame(FrameType.Body, channel, Body.AsSpan(0, 1)); break;
            case 4: Header(channel, QueueDeclare.Id.ClassId, 0, none); break;
            case 5: Header(channel, @class, 1UL << random.Next(20, 64), none); break;
            case 6: Header(channel, @class, 0, Mutator.Noise(random, 60)); break;
            case 7: Header(channel, @class, 0, Mutator.Mutate(Rare[random.Next(Rare.Length)].Bytes.Span, random)); break;
            case 8: Frame(FrameType.Header, channel, Body.AsSpan(0, random.Next(14))); break;
            default:
                Header(channel, @class, 10, none);
                Frame(FrameType.Body, channel, Body.AsSpan(0, random.Next(3) * 7));
                // More than was announced, a second header, or a close within.
                if (random.Next(3) == 0)
                    Header(channel, @class, 10, none);
                else if (random.Next(2) == 0)
                    Method(channel, new ChannelClose(200, "", 0, 0));
                break;
        }
    }

    private void WriteOfConnection(ushort channel)
    {
        switch (random.Next(9))
        {
            case 0: Frame(FrameType.Heartbeat, channel, default); break;
            case 1: Method(0, new BasicAck(1, false)); break;
            case 2: Method((ushort)random.Next(ushort.MaxValue + 1), default(ChannelOpen)); break;
            case 3: Method(0, RandomMethods.Method(MethodTable.All[random.Next(MethodTable.All.Count)], random)); break;
            case 4: Frame((FrameType)random.Next(256), channel, Body.AsSpan(0, random.Next(20))); break;
            case 5: WriteClose(); break;
            case 6:
                Frame(FrameType.Body, channel, Body.AsSpan(0, 4));
                bytes.WrittenSpan[^1] = 0;
                break;
            case 7:
                bytes.Write(Mutator.Noise(random, 300));
                Written++;
                break;
            default: Method(0, new ConnectionUpdateSecret(LongString.Of("secret"), "it has expired")); break;
        }
    }

    // Half of the time the frames keep their form, and what is in the last one is broken.
    private void Mutate(int start)
    {
        var before = bytes.WrittenSpan[start..].ToArray();
        if (before.Length < Frames.Overhead)
            return;
        var head = FrameHead.Read(before);
        var isWhole = before.Length == Frames.Overhead + head.Size;
        var from = isWhole && random.Next(2) == 0 ? FrameHead.Bytes : 0;
        var after = Mutator.Mutate(before.AsSpan(0, before.Length - (from > 0 ? 1 : 0)), random, from);
        bytes.Truncate(start);
        if (from == 0)
        {
            bytes.Write(after);
            return;
        }
        BinaryPrimitives.WriteInt32BigEndian(after.AsSpan(3), after.Length - FrameHead.Bytes);
        bytes.Write(after);
        bytes.Write([Frames.End]);
    }

    private ContentProperties Properties() => random.Next(500) switch
    {
        0 => Refused[random.Next(Refused.Length)],
        1 => RandomMethods.Properties(random),
        < 20 => Rare[random.Next(Rare.Length)],
        _ => Common[random.Next(Common.Length)],
    };

    private string Queue() => random.Next(OnLogOneIn * 5) switch
    {
        0 => "missing",
        1 => "",
        2 => "amq.topic/missing",
        3 or 4 or 5 => Queues[QueuesInMemory + random.Next(Queues.Length - QueuesInMemory)].Name,
        6 => "q6",
        // The exclusive one is another connection's mostly.
        _ => Queues[random.Next(QueuesInMemory - 1)].Name,
    };

    private string Exchange() => random.Next(200) switch
    {
        0 => "missing",
        1 => "",
        < 20 => "amq.topic",
        < 30 => "amq.headers",
        _ => Exchanges[random.Next(Exchanges.Length)].Name,
    };

    // The key of a binding of a hash exchange is a weight.
    private (string Source, string Pattern) Binding()
    {
        var source = Exchange();
        return (source, source == "x4" ? "1" : Patterns[random.Next(Patterns.Length)]);
    }

    private bool Rarely() => random.Next(10) == 0;

    private static LongString Response(bool isPlain, string password) => isPlain ? LongString.Of($"\0{MemoryBroker.User}\0{password}")
        : new LongString(FieldTable.Of(("LOGIN", FieldValue.Of(MemoryBroker.User)), ("PASSWORD", FieldValue.Of(password))).Bytes);

    private static FieldTable Nested(int depth)
    {
        var table = FieldTable.Of(("v", FieldValue.OfArray(FieldValue.Of(1L), FieldValue.Void)));
        for (var level = 1; level < depth; level++)
            table = FieldTable.Of(("t", FieldValue.Of(table)));
        return table;
    }

    private int FramesSince(int start)
    {
        var count = 0;
        for (var rest = bytes.WrittenSpan[start..]; !rest.IsEmpty; count++)
            rest = rest[(Frames.Overhead + (int)FrameHead.Read(rest).Size)..];
        return count;
    }

    private void Method<T>(ushort channel, in T method)
        where T : IMethod
    {
        Frames.WriteMethod(bytes, channel, method);
        Written++;
    }

    private void Header(ushort channel, ushort classId, ulong bodyBytes, ReadOnlySpan<byte> properties)
    {
        var payload = new byte[ContentHead.Bytes + properties.Length];
        BinaryPrimitives.WriteUInt16BigEndian(payload, classId);
        BinaryPrimitives.WriteUInt64BigEndian(payload.AsSpan(4), bodyBytes);
        properties.CopyTo(payload.AsSpan(ContentHead.Bytes));
        Frame(FrameType.Header, channel, payload);
    }

    private void Frame(FrameType type, ushort channel, ReadOnlySpan<byte> payload)
    {
        var head = bytes.GetSpan(FrameHead.Bytes);
        head[0] = (byte)type;
        BinaryPrimitives.WriteUInt16BigEndian(head[1..], channel);
        BinaryPrimitives.WriteInt32BigEndian(head[3..], payload.Length);
        bytes.Advance(FrameHead.Bytes);
        bytes.Write(payload);
        bytes.Write([Frames.End]);
        Written++;
    }
}
