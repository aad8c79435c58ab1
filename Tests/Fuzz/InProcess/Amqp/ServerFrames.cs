using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Fuzz.InProcess.Amqp;

/// <summary>
/// Checks what a broker writes to one client: every frame is read by the codec, and is one that a client expects at that point.
/// <code>
/// nothing -> started -> tuned -> running    start; tune; open-ok
/// started to running -> closing             close was written: close-ok, once, and heartbeats may follow
/// any -> over                               close-ok to the client's close, or a protocol header: nothing may follow
/// </code>
/// For one caller at a time.
/// </summary>
/// <param name="client">The client.</param>
internal sealed class ServerFrames(AmqpClient client)
{
    private readonly Dictionary<ushort, ChannelTalk> _channels = [];
    private readonly NamePool _names = new();
    private Stage _stage;
    // The channel whose content follows; 0: none does.
    private ushort _contentOf;
    private bool _awaitsHeader;
    private ulong _missing;

    private enum Stage
    {
        Nothing = 0,
        Started,
        Tuned,
        Running,
        Closing,
        Over,
    }

    /// <summary>The number of frames.</summary>
    public int Count { get; private set; }

    /// <summary>Whether the broker has closed the connection, and awaits close-ok.</summary>
    public bool IsClosing => _stage == Stage.Closing;

    /// <summary>Returns the channel of a number; null if it was never opened.</summary>
    public ChannelTalk? Find(ushort number) => _channels.GetValueOrDefault(number);

    /// <summary>The client opens a channel. What was written before is read.</summary>
    public void Opening(ushort number)
    {
        if (_channels.TryGetValue(number, out var before))
            Require(before.State is ChannelTalkState.Closed or ChannelTalkState.ClosedByServer, "a channel is opened twice");
        _channels[number] = new ChannelTalk();
    }

    /// <summary>A channel handles a command of the client.</summary>
    public void Commanded(ushort number, IMethod method) => _channels[number].Commanded(method);

    /// <summary>Reads what was written.</summary>
    /// <exception cref="FuzzFailedException">It is not to be.</exception>
    public void Read(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            Count++;
            Require(_stage != Stage.Over, "it follows the end of the connection");
            if (bytes.StartsWith("AMQP"u8))
            {
                Require(_stage == Stage.Nothing && bytes.Length == ProtocolHeader.Bytes, "a protocol header among frames");
                _stage = Stage.Over;
                return;
            }
            Require(bytes.Length >= Frames.Overhead, "a frame is cut");
            var head = FrameHead.Read(bytes);
            Require(head.Size <= bytes.Length - Frames.Overhead, "a frame is cut");
            var length = Frames.Overhead + (int)head.Size;
            Require(bytes[length - 1] == Frames.End, "a frame does not end with its end");
            Read(head, bytes.Slice(FrameHead.Bytes, (int)head.Size));
            bytes = bytes[length..];
        }
        Require(_contentOf == 0, "a content is not written as a whole");
    }

    private void Read(FrameHead head, ReadOnlySpan<byte> payload)
    {
        // A content's header cannot be divided.
        Require(head.Type == FrameType.Header || head.Size <= client.FrameMax - Frames.Overhead, "a frame is larger than frame_max");
        if (_contentOf != 0)
        {
            ReadContent(head, payload);
            return;
        }
        switch (head.Type)
        {
            case FrameType.Heartbeat:
                Require(head is { Channel: 0, Size: 0 } && _stage >= Stage.Tuned, "an unexpected heartbeat");
                break;
            case FrameType.Method:
                var method = Decode(payload);
                if (head.Channel == 0)
                    ReadConnection(method);
                else
                    ReadChannel(head.Channel, method);
                break;
            default:
                throw Wrong($"a frame of type {head.Type} without a method");
        }
    }

    private IMethod Decode(ReadOnlySpan<byte> payload)
    {
        try
        {
            return Frames.ReadMethod(payload, _names);
        }
        catch (AmqpException fault)
        {
            throw new FuzzFailedException($"The broker wrote a method that is not read: {fault.Message}", fault);
        }
    }

    private void ReadContent(FrameHead head, ReadOnlySpan<byte> payload)
    {
        Require(head.Channel == _contentOf, "another channel's frame within a content");
        if (_awaitsHeader)
        {
            Require(head.Type == FrameType.Header, "a method is not followed by its content's header");
            var content = ContentHead.Read(payload);
            Require(content.ClassId == BasicDeliver.Id.ClassId, "a content of another class");
            ContentProperties.Check(payload[ContentHead.Bytes..]);
            (_awaitsHeader, _missing) = (false, content.BodyBytes);
        }
        else
        {
            Require(head.Type == FrameType.Body && head.Size > 0 && head.Size <= _missing, "a body that does not fit its header");
            _missing -= head.Size;
        }
        if (_missing == 0)
            _contentOf = 0;
    }

    private void ReadConnection(IMethod method)
    {
        switch (method)
        {
            case ConnectionStart:
                Require(_stage == Stage.Nothing, "a second start");
                _stage = Stage.Started;
                break;
            case ConnectionSecure:
                Require(_stage == Stage.Started, "secure at the wrong time");
                break;
            case ConnectionTune:
                Require(_stage == Stage.Started, "tune at the wrong time");
                _stage = Stage.Tuned;
                break;
            case ConnectionOpenOk:
                Require(_stage == Stage.Tuned, "open-ok at the wrong time");
                _stage = Stage.Running;
                break;
            case ConnectionUpdateSecretOk:
                Require(_stage == Stage.Running, "update-secret-ok at the wrong time");
                break;
            case ConnectionBlocked or ConnectionUnblocked:
                Require(_stage == Stage.Running && client.WantsBlocked, "blocked at the wrong time, or without the capability");
                break;
            case ConnectionClose close:
                Require(_stage is Stage.Started or Stage.Tuned or Stage.Running, "close at the wrong time");
                CheckReason(close.ReplyCode, close.ReplyText, mayEndConnection: true);
                _stage = Stage.Closing;
                break;
            case ConnectionCloseOk:
                Require(_stage is Stage.Tuned or Stage.Running or Stage.Closing, "close-ok at the wrong time");
                if (_stage != Stage.Closing)
                    _stage = Stage.Over;
                break;
            default:
                throw Wrong($"{method.Id} on channel 0");
        }
    }

    private void ReadChannel(ushort number, IMethod method)
    {
        if (_stage != Stage.Running || !_channels.TryGetValue(number, out var channel))
            throw Wrong($"{method.Id} on channel {number}, which was not opened, or while the connection is {_stage}");
        if (method is ChannelClose close)
            CheckReason(close.ReplyCode, close.ReplyText, mayEndConnection: false);
        if (method is BasicCancel)
            Require(client.WantsConsumerCancel, "a consumer is cancelled without the capability");
        if (channel.FaultOf(method) is { } fault)
            throw Wrong($"{method} on channel {number}: {fault}");
        if (MethodTable.HasContent(method.Id))
            (_contentOf, _awaitsHeader) = (number, true);
    }

    private void CheckReason(ushort code, string text, bool mayEndConnection)
    {
        var reply = (ReplyCode)code;
        var isLegal = mayEndConnection
            ? reply is ReplyCode.ConnectionForced or ReplyCode.InvalidPath or ReplyCode.NotAllowed or ReplyCode.NotImplemented
                or (>= ReplyCode.FrameError and <= ReplyCode.ResourceError)
                || (reply == ReplyCode.AccessRefused && _stage == Stage.Started)
            : reply.IsChannelError();
        if (!isLegal || !text.StartsWith($"{reply.NameOf()} - ", StringComparison.Ordinal))
            throw Wrong($"a close with {code}: {text}");
    }

    private static void Require(bool isRight, string problem)
    {
        if (!isRight)
            throw Wrong(problem);
    }

    private static FuzzFailedException Wrong(string problem) => new($"The broker wrote what it must not: {problem}.");
}
