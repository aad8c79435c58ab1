namespace OrleansMq.Outboxes;

/// <summary>Messages of one partition, with consecutive sequences: one batch.</summary>
/// <param name="ProducerId">The producer of all of them.</param>
/// <param name="Target">The partition.</param>
/// <param name="Messages">The messages, in order.</param>
internal sealed record OutboxRun(long ProducerId, TopicPartition Target, IReadOnlyList<OutboxMessage> Messages);

/// <summary>What an answer of the broker means for a run.</summary>
internal enum OutboxVerdict
{
    /// <summary>The messages are in the partition.</summary>
    Delivered = 0,
    /// <summary>They are not known to be, and are sent again later.</summary>
    Retry = 1,
    /// <summary>One of them is refused, or some are in the partition: they are sent one by one.</summary>
    Split = 2,
    /// <summary>The message is refused for good. Later ones of its partition follow when that is stored.</summary>
    Refused = 3,
}

/// <summary>
/// The outbox of one activation: decisions only, no I/O, no clock. Used in the activation's turns.
/// <para>The document <i>in force</i> is the newest one that the activation knows to be in the store. Only its messages are sent, and not
/// those that were added since. A message's partition, producer id and sequence are part of the document. So every activation sends the
/// same bytes under the same sequence to the same partition, which has them once
/// (<see cref="OrleansMq.Producers.OutboxProducers"/>).</para>
/// <para>An activation adds messages under a producer id of its own, and begins another one when it reads a document that it has not
/// written. So a document that is copied to another grain, or restored from a backup, leads to no new message under a sequence that a
/// broker has seen: only the pending messages are sent again, under their sequences. Sequences go on through all ids.</para>
/// <para>A partition has one run on its way. The next one follows when the run is in the partition, or is refused and a stored document
/// says so: a sequence is never passed over while an activation may still send it.</para>
/// <para>Writes are compare-and-swap. So the documents in force are one history, and each has its own stamp. Of a write whose outcome is
/// unknown, the stamp of the document that is read next tells whether it is in force. Until then the messages of the document before are
/// sent: either one has them.</para>
/// </summary>
internal sealed class OutboxCore(int maxPending, int maxPendingBytes)
{
    /// <summary>The most messages of a run.</summary>
    public const int MaxRun = 100;

    /// <summary>The most bytes of a run of several messages, well below any <c>max.message.bytes</c> that a topic has.</summary>
    public const int MaxRunBytes = 128 << 10;

    private readonly List<OutboxMessage> _added = [];
    // What was added for the grain's write that was composed last, and the keys there.
    private readonly Dictionary<OutboxMessage, OutboxMessageKey> _composed = [];
    private readonly HashSet<OutboxMessageKey> _delivered = [];
    // What is decided, and no stored document has.
    private readonly Dictionary<OutboxMessageKey, string> _refused = [];
    private readonly Dictionary<OutboxMessageKey, int> _chosen = [];
    private readonly HashSet<OutboxMessageKey> _retried = [];
    private readonly HashSet<OutboxMessageKey> _discarded = [];
    private readonly HashSet<TopicPartition> _sending = [];
    // Messages up to these sequences are sent one by one.
    private readonly Dictionary<TopicPartition, long> _singles = [];
    private OutboxDocument _inForce = new();
    // The producer of the messages that this activation adds.
    private long? _producerId;

    /// <summary>The document in force.</summary>
    public OutboxDocument InForce => _inForce;

    /// <summary>Whether a newer document than <see cref="InForce"/> may be in the store.</summary>
    public bool IsInDoubt { get; private set; }

    /// <summary>Whether messages were added, retried or discarded since the last write.</summary>
    public bool HasAdded => _added.Count + _retried.Count + _discarded.Count > 0;

    /// <summary>Whether something is decided that must be stored before the next message can be sent.</summary>
    public bool NeedsWrite => _refused.Count + _chosen.Count > 0;

    /// <summary>Whether every message in force is known to be delivered.</summary>
    public bool IsDelivered => IsDeliveredTo(long.MaxValue);

    /// <summary>Whether every message in force up to a sequence is known to be delivered.</summary>
    public bool IsDeliveredTo(long sequence) =>
        _inForce.Pending.All(message => message.Sequence > sequence || _delivered.Contains(message.MessageKey));

    /// <summary>The messages that wait.</summary>
    public IEnumerable<OutboxMessage> Pending =>
        _inForce.Pending.Where(message => !_delivered.Contains(message.MessageKey)).Concat(_added);

    /// <summary>The messages that were added since the last write.</summary>
    public IReadOnlyList<OutboxMessage> Added => _added;

    /// <summary>Adds a message.</summary>
    /// <exception cref="OutboxFullException">As many wait as may.</exception>
    public void Add(OutboxMessage message)
    {
        var waiting = _inForce.Pending.Where(pending => !_delivered.Contains(pending.MessageKey)).Concat(_inForce.Parked).Concat(_added)
            .ToList();
        if (waiting.Count >= maxPending)
        {
            throw new OutboxFullException($"The outbox has {waiting.Count} messages that are not delivered or are parked, the most that "
                + $"{nameof(OrleansMqOutboxOptions)}.{nameof(OrleansMqOutboxOptions.MaxPending)} allows: see the log for the topic that "
                + "does not take them, or raise the bound.");
        }
        var bytes = waiting.Sum(static other => (long)other.Size);
        if (bytes + message.Size > maxPendingBytes)
        {
            throw new OutboxFullException($"The outbox has {bytes} bytes of messages that are not delivered or are parked, and a message "
                + $"of {message.Size} bytes would exceed {nameof(OrleansMqOutboxOptions)}."
                + $"{nameof(OrleansMqOutboxOptions.MaxPendingBytes)}, {maxPendingBytes}: see the log for the topic "
                + "that does not take them, or raise the bound.");
        }
        _added.Add(message);
    }

    /// <summary>Parked messages are sent again once a write has it.</summary>
    public void RetryParked() => _retried.UnionWith(_inForce.Parked.Select(static message => message.MessageKey).Except(_discarded));

    /// <summary>Parked messages are removed once a write has it.</summary>
    public void DiscardParked() => _discarded.UnionWith(_inForce.Parked.Select(static message => message.MessageKey).Except(_retried));

    /// <summary>The messages of a topic that wait are removed: those that were added now, those in force once a write has it. Those of a
    /// write that is under way are in force after it, and leave with the next one.</summary>
    public void DiscardPending(string topic)
    {
        _added.RemoveAll(message => message.Topic == topic);
        _discarded.UnionWith(_inForce.Pending.Where(message => message.Topic == topic).Select(static message => message.MessageKey));
    }

    /// <summary>Returns the document to store, which follows the one in force.</summary>
    /// <param name="withAdded">Whether it has what was added: the write is the grain's own.</param>
    /// <param name="newId">A new producer id, where one is needed.</param>
    /// <param name="stamp">The write's stamp.</param>
    /// <param name="partitions">The number of partitions of a topic; null: not known now.</param>
    public OutboxDocument Compose(bool withAdded, long newId, Guid stamp, Func<string, int?> partitions)
    {
        var document = new OutboxDocument
        {
            OutboxId = _inForce.OutboxId == 0 && withAdded && _added.Count > 0 ? newId : _inForce.OutboxId,
            LastSequence = _inForce.LastSequence,
            Stamp = stamp,
        };
        if (withAdded)
            _composed.Clear();
        document.Parked.AddRange(_inForce.Parked.Where(message => !withAdded
            || !(_retried.Contains(message.MessageKey) || _discarded.Contains(message.MessageKey))));
        foreach (var message in _inForce.Pending.Where(message => !_delivered.Contains(message.MessageKey)
            && !(withAdded && _discarded.Contains(message.MessageKey))))
        {
            var next = message;
            if (_refused.TryGetValue(message.MessageKey, out var refusal))
            {
                next = message.Copy();
                next.Refusal = refusal;
                document.Parked.Add(next);
                continue;
            }
            if (_chosen.TryGetValue(message.MessageKey, out var partition))
            {
                next = message.Copy();
                next.Partition = partition;
            }
            document.Pending.Add(next);
        }
        if (!withAdded || _added.Count + _retried.Count == 0)
            return document;
        var producerId = _producerId ??= newId;
        foreach (var message in _added.Concat(_inForce.Parked.Where(message => _retried.Contains(message.MessageKey))))
        {
            var next = message.Copy();
            // A parked message is sent under another sequence. For its readers it is the same message.
            if (message.Sequence > 0)
                next.MessageId = message.IdText;
            (next.ProducerId, next.Sequence) = (producerId, ++document.LastSequence);
            next.Refusal = null;
            if (next.Partition < 0 && partitions(next.Topic) is { } count)
                next.Partition = OutboxPartitions.Choose(document.OutboxId, next, count);
            document.Pending.Add(next);
            // The others are parked, and are sent again.
            if (message.Sequence == 0)
                _composed[message] = next.MessageKey;
        }
        return document;
    }

    /// <summary>A document is in the store, as the answer to a write or a read has told.</summary>
    /// <param name="document">The document; null for none.</param>
    /// <param name="isOwn">Whether it is known to be one that this activation has written.</param>
    public void Adopt(OutboxDocument? document, bool isOwn = false)
    {
        document ??= new OutboxDocument();
        if (!isOwn && document.Stamp != _inForce.Stamp)
            _producerId = null;
        _inForce = document;
        IsInDoubt = false;
        var pending = document.Pending.Select(static message => message.MessageKey).ToHashSet();
        _delivered.IntersectWith(pending);
        foreach (var key in _refused.Keys.Where(key => !pending.Contains(key)).ToList())
            _refused.Remove(key);
        foreach (var key in _chosen.Keys.Where(key => !document.Pending.Exists(message => message.MessageKey == key
            && message.Partition < 0)).ToList())
            _chosen.Remove(key);
        var parked = document.Parked.Select(static message => message.MessageKey).ToHashSet();
        _retried.IntersectWith(parked);
        _discarded.IntersectWith(parked.Union(pending));
    }

    /// <summary>The grain's own write is in force.</summary>
    /// <param name="document">What was composed last with what was added.</param>
    public void Written(OutboxDocument document)
    {
        // Calls that interleave with a write add messages, and discard some.
        var kept = _added.ToHashSet();
        _added.RemoveAll(_composed.ContainsKey);
        Adopt(document, isOwn: true);
        foreach (var (message, key) in _composed)
        {
            if (!kept.Contains(message))
                _discarded.Add(key);
        }
        _composed.Clear();
    }

    /// <summary>A write has no known outcome.</summary>
    public void Doubt() => IsInDoubt = true;

    /// <summary>What was added is dropped, together with the state that it was added to.</summary>
    public void Drop()
    {
        _added.Clear();
        _composed.Clear();
        _retried.Clear();
        _discarded.Clear();
    }

    /// <summary>Returns the partitions that a run can be taken for.</summary>
    public IReadOnlyList<TopicPartition> Targets() =>
        [.. _inForce.Pending.Where(message => message.Partition >= 0 && !_delivered.Contains(message.MessageKey))
            .Select(static message => message.Target).Distinct().Where(target => Find(target) is not null)];

    /// <summary>Returns the topics of messages whose partition is to be chosen.</summary>
    public IReadOnlyList<string> Undecided() => [.. _inForce.Pending.Where(message => message.Partition < 0
        && !_chosen.ContainsKey(message.MessageKey)).Select(static message => message.Topic).Distinct()];

    /// <summary>Chooses the partitions of the messages of a topic. They are sent when that is stored.</summary>
    public void Choose(string topic, int partitions)
    {
        foreach (var message in _inForce.Pending.Where(message => message.Partition < 0 && message.Topic == topic))
            _chosen[message.MessageKey] = OutboxPartitions.Choose(_inForce.OutboxId, message, partitions);
    }

    /// <summary>Takes the next messages of a partition; null: there are none that can be sent now.</summary>
    public OutboxRun? Take(TopicPartition target)
    {
        if (Find(target) is not { } run)
            return null;
        _sending.Add(target);
        return run;
    }

    private OutboxRun? Find(TopicPartition target)
    {
        if (_sending.Contains(target))
            return null;
        var messages = new List<OutboxMessage>();
        var bytes = 0;
        foreach (var message in _inForce.Pending)
        {
            if (message.Topic != target.Topic || _delivered.Contains(message.MessageKey))
                continue;
            // A message whose partition is not chosen may be one of this partition, before the others.
            if (message.Partition < 0)
                break;
            if (message.Partition != target.Partition)
                continue;
            if (_refused.ContainsKey(message.MessageKey))
                break;
            var fits = messages.Count == 0 || (message.Sequence == messages[^1].Sequence + 1
                && message.ProducerId == messages[0].ProducerId && messages.Count < MaxRun
                && bytes + message.Size <= MaxRunBytes && !IsSingle(target, messages[0]));
            if (!fits)
                break;
            messages.Add(message);
            bytes += message.Size;
        }
        return messages.Count == 0 ? null : new OutboxRun(messages[0].ProducerId, target, messages);
    }

    private bool IsSingle(TopicPartition target, OutboxMessage message) =>
        _singles.TryGetValue(target, out var last) && message.Sequence <= last;

    /// <summary>The broker has answered a run, or a call has failed.</summary>
    public OutboxVerdict Answer(OutboxRun run, ErrorCode error, string? reason)
    {
        _sending.Remove(run.Target);
        var verdict = Judge(error, run.Messages.Count);
        switch (verdict)
        {
            case OutboxVerdict.Delivered:
                _delivered.UnionWith(run.Messages.Select(static message => message.MessageKey));
                Forget(run);
                break;
            case OutboxVerdict.Split:
                _singles[run.Target] = run.Messages[^1].Sequence;
                break;
            case OutboxVerdict.Refused:
                _refused[run.Messages[0].MessageKey] = $"{error}: {reason}";
                break;
            default:
                break;
        }
        // Messages that left the store meanwhile: another activation has delivered them, or the state was cleared.
        _delivered.IntersectWith(_inForce.Pending.Select(static message => message.MessageKey));
        foreach (var gone in _refused.Keys.Except(_inForce.Pending.Select(static message => message.MessageKey)).ToList())
            _refused.Remove(gone);
        return verdict;
    }

    private void Forget(OutboxRun run)
    {
        if (_singles.TryGetValue(run.Target, out var last) && run.Messages[^1].Sequence >= last)
            _singles.Remove(run.Target);
    }

    // Only what lies in the message itself is for good. A topic that does not exist, or may not be written to, is mended, and a queue that
    // is full is emptied.
    private static OutboxVerdict Judge(ErrorCode error, int count) => error switch
    {
        ErrorCode.None or ErrorCode.DuplicateSequenceNumber => OutboxVerdict.Delivered,
        ErrorCode.OutOfOrderSequenceNumber when count > 1 => OutboxVerdict.Split,
        ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord or ErrorCode.InvalidTimestamp =>
            count > 1 ? OutboxVerdict.Split : OutboxVerdict.Refused,
        _ => OutboxVerdict.Retry,
    };
}
