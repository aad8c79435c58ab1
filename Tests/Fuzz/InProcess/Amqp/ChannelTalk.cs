using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Fuzz.InProcess.Amqp;

/// <summary>The state of a channel, as the broker's frames tell it.</summary>
internal enum ChannelTalkState
{
    /// <summary>Open-ok has not come.</summary>
    Opening = 0,
    /// <summary>Open.</summary>
    Open,
    /// <summary>The broker has closed it: close-ok and open-ok may come.</summary>
    ClosedByServer,
    /// <summary>The client has closed it: open-ok may come.</summary>
    Closed,
}

/// <summary>What a client knows of one channel between its open and its close, to check what the broker writes on it.</summary>
internal sealed class ChannelTalk
{
    private const string GeneratedTag = "amq.ctag-";

    // Of commands that have an answer, those without one. A command without an answer counts, too.
    private readonly Dictionary<MethodId, int> _unanswered = [];
    // By their tags: whether deliveries need no acknowledgement. Those that the broker has not confirmed count, too.
    private readonly Dictionary<string, bool> _consumers = new(StringComparer.Ordinal);
    private readonly Queue<bool> _gets = new();
    private readonly List<ulong> _unacknowledged = [];
    private readonly HashSet<ulong> _confirmed = [];
    private bool _hasGeneratedTags;
    private ulong _confirmedBelow = 1;
    private ulong _published;
    private ulong _tag;

    /// <summary>The state.</summary>
    public ChannelTalkState State { get; private set; }

    /// <summary>The channel handles a command.</summary>
    public void Commanded(IMethod method)
    {
        _unanswered[method.Id] = _unanswered.GetValueOrDefault(method.Id) + 1;
        switch (method)
        {
            case BasicPublish:
                _published++;
                break;
            case BasicGet get:
                _gets.Enqueue(get.NoAck);
                break;
            case BasicConsume consume:
                if (consume.ConsumerTag.Length > 0)
                    _consumers[consume.ConsumerTag] = consume.NoAck;
                else
                    _hasGeneratedTags = true;
                break;
            case BasicRecover or BasicRecoverAsync:
                // They are delivered again under other tags.
                _unacknowledged.Clear();
                break;
        }
    }

    /// <summary>Takes a tag that waits for its acknowledgement; 0 if there is none.</summary>
    /// <param name="choice">Chooses one.</param>
    /// <param name="isMultiple">Whether those before it are acknowledged with it.</param>
    public ulong TakeTag(int choice, bool isMultiple)
    {
        if (_unacknowledged.Count == 0)
            return 0;
        var at = choice % _unacknowledged.Count;
        var tag = _unacknowledged[at];
        if (isMultiple)
            _unacknowledged.RemoveRange(0, at + 1);
        else
            _unacknowledged.RemoveAt(at);
        return tag;
    }

    /// <summary>Returns why the broker must not write a method; null if it may.</summary>
    public string? FaultOf(IMethod method)
    {
        if (method is ChannelOpenOk)
        {
            if (State != ChannelTalkState.Opening)
                return "the channel is open, or was not opened again";
            State = ChannelTalkState.Open;
            return null;
        }
        if (method is ChannelCloseOk)
        {
            if (State is ChannelTalkState.Opening or ChannelTalkState.Closed)
                return "the channel is not open";
            if (State == ChannelTalkState.Open)
                State = ChannelTalkState.Closed;
            return null;
        }
        if (State != ChannelTalkState.Open)
            return $"the channel is {State}";
        switch (method)
        {
            case ChannelClose:
                State = ChannelTalkState.ClosedByServer;
                return null;
            case BasicReturn:
                return _published == 0 ? "nothing was published" : null;
            case BasicDeliver deliver:
                return FaultOf(deliver);
            case BasicGetOk got:
                return !IsNext(got.DeliveryTag) ? $"it does not follow tag {_tag}" : FaultOfGet(got.DeliveryTag);
            case BasicGetEmpty:
                return FaultOfGet(null);
            case BasicAck { Multiple: true } ack:
                return FaultOfAll(ack.DeliveryTag);
            case BasicAck ack:
                return FaultOfConfirm(ack.DeliveryTag);
            case BasicNack { Multiple: false } nack:
                return FaultOfConfirm(nack.DeliveryTag);
            case BasicCancel cancel:
                _consumers.Remove(cancel.ConsumerTag);
                return null;
            default:
                return IsAnswer(method.Id) ? FaultOfAnswer(CommandOf(method.Id)) : "servers do not send it";
        }
    }

    private string? FaultOf(BasicDeliver deliver)
    {
        var isKnown = _consumers.TryGetValue(deliver.ConsumerTag, out var isNoAck);
        if (!isKnown && !(_hasGeneratedTags && deliver.ConsumerTag.StartsWith(GeneratedTag, StringComparison.Ordinal)))
            return "there is no such consumer";
        if (!IsNext(deliver.DeliveryTag))
            return $"it does not follow tag {_tag}";
        if (!isNoAck)
            _unacknowledged.Add(_tag);
        return null;
    }

    private bool IsNext(ulong tag)
    {
        if (tag != _tag + 1)
            return false;
        _tag = tag;
        return true;
    }

    private string? FaultOfGet(ulong? tag)
    {
        if (!_gets.TryDequeue(out var isNoAck))
            return "nothing was asked for";
        if (tag is { } got && !isNoAck)
            _unacknowledged.Add(got);
        return null;
    }

    private string? FaultOfConfirm(ulong tag) =>
        tag < _confirmedBelow || tag > _published || !_confirmed.Add(tag) ? "it has no publish without a confirm" : null;

    private string? FaultOfAll(ulong tag)
    {
        if (FaultOfConfirm(tag) is { } fault)
            return fault;
        _confirmedBelow = tag + 1;
        _confirmed.RemoveWhere(confirmed => confirmed <= tag);
        return null;
    }

    private string? FaultOfAnswer(MethodId command)
    {
        var left = _unanswered.GetValueOrDefault(command);
        _unanswered[command] = left - 1;
        return left > 0 ? null : $"there is no {command} without an answer";
    }

    // Answers follow their commands' indexes.
    private static bool IsAnswer(MethodId id) => id.ClassId >= ChannelOpen.Id.ClassId && id.Index % 10 == 1;

    private static MethodId CommandOf(MethodId answer) =>
        answer == ExchangeUnbindOk.Id ? ExchangeUnbind.Id : new MethodId(answer.ClassId, (ushort)(answer.Index - 1));
}
