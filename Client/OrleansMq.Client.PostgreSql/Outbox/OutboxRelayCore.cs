using System.Text;
using OrleansMq.Diagnostics;
using OrleansMq.Partitioning;

namespace OrleansMq.Client.PostgreSql;

/// <summary>
/// The decisions of one session of a relay, from its take-over to its first failed transaction: no I/O, no clock. What fails is not
/// repaired: the session ends, and the next one reads what is stored. Not thread-safe.
/// <para>Order. Ids are given out when a message is added, and become visible when its transaction commits. The relay notes the last id
/// that was given out (<see cref="Mark"/>), with the id of a transaction of its own that began after that. When all transactions before
/// that one have ended (<see cref="See"/>), every message up to the noted id is visible, or never will be. Only those are read. So messages
/// are sent in the order in which they were added, however their transactions overlap.</para>
/// <para>Once. A partition has one batch. The batch is stored with its producer, epoch and sequence before it is first sent, in a
/// transaction that only the relay in charge can commit. The next batch of the partition is stored in the transaction that deletes this
/// one's messages. A relay that was replaced holds at most that one batch, and sends it under the same sequence as its successor.</para>
/// <para>Bounds. A partition has a bounded number of messages in memory. Others are read past, and stay in the table: the lane of the
/// partition notes the id above which it has left some (<see cref="Lane.LeftAt"/>). It reads on from there when it has room, whatever other
/// partitions do. So a partition that takes nothing holds up no other one. A message is read once for all, and at most once more for each
/// partition of its topic that it waits behind. What a topic that is not found yet has beyond the bound is left in the same way, for all of
/// its partitions (<see cref="TopicQueue.LeftAt"/>).</para>
/// <para>Each session is a producer of its own. So a sequence that a broker has seen is not used for another message, also where the
/// database was restored from a backup. A batch that is refused leaves its epoch: an attempt of it that is still on its way is fenced by
/// the next batch.</para>
/// </summary>
/// <param name="outbox">The outbox, which chooses the partition of messages without a key.</param>
/// <param name="producerId">A producer id that no other session uses.</param>
/// <param name="epoch">Its epoch.</param>
/// <param name="laneLimit">The most messages of a partition that are queued. The others wait in the table.</param>
/// <param name="readLimit">The most messages that are read at once.</param>
internal sealed class OutboxRelayCore(string outbox, long producerId, short epoch, int laneLimit = OutboxRelayCore.LaneLimit,
    int readLimit = OutboxRelayCore.ReadLimit)
{
    /// <summary>The most messages of a batch.</summary>
    public const int MaxBatch = 500;

    /// <summary>The most bytes of a batch of several messages, well below any <c>max.message.bytes</c> that a topic has.</summary>
    public const int MaxBatchBytes = 128 << 10;

    /// <summary>The most partitions whose batches one transaction loads.</summary>
    public const int MaxTakes = 64;

    // Two batches: one is at hand when the other is answered. A message takes some 70 bytes.
    private const int LaneLimit = 2 * MaxBatch;
    // A transaction reads as many for all topics, and again as many for lanes that have left some.
    private const int ReadLimit = 10_000;
    private const int MostMarks = 64;
    // Brokers keep the last epochs for themselves.
    private const short LastEpoch = 30_000;

    private readonly Dictionary<TopicPartition, Lane> _lanes = [];
    // Partitions take turns where there are many.
    private readonly List<Lane> _turns = [];
    private readonly Dictionary<string, TopicQueue> _topics = new(StringComparer.Ordinal);
    // What may be read on behalf of lanes, in turns.
    private readonly List<Source> _sources = [];
    // Messages of batches that the session has begun with, and of lanes of a topic that is read again: they are queued already.
    private readonly HashSet<long> _queued = [];
    private readonly List<(long Last, ulong Transaction)> _marks = [];
    private readonly List<long> _done = [];
    private readonly List<OutboxRefusal> _refused = [];
    private readonly byte[] _outbox = Encoding.UTF8.GetBytes(outbox);
    private long _lastMarked;
    private long _read;
    private int _nextTurn;
    private int _nextSource;

    /// <summary>The messages up to this id are complete: what is not visible now will never be.</summary>
    public long Watermark { get; private set; }

    /// <summary>Whether ids are noted that are not known to be complete.</summary>
    public bool HasMarks => _marks.Count > 0;

    /// <summary>Whether the producer has used up its epochs: the session ends.</summary>
    public bool IsWornOut { get; private set; }

    /// <summary>The messages that are queued or on their way.</summary>
    public int Count => _topics.Values.Sum(static topic => topic.Count);

    /// <summary>Whether a batch is on its way.</summary>
    public bool IsSending => _lanes.Values.Any(static lane => lane.State == LaneState.Sending);

    /// <summary>Whether an answer is not stored yet.</summary>
    public bool HasAnswers => _done.Count + _refused.Count > 0;

    /// <summary>Whether a transaction has something to do.</summary>
    public bool HasWork => HasAnswers || _read < Watermark || _lanes.Values.Any(static lane => lane.IsReady)
        || _sources.Exists(MayRead);

    /// <summary>The session begins with what the one before has stored.</summary>
    public void Recover(IEnumerable<OutboxBatch> batches)
    {
        foreach (var batch in batches)
        {
            var lane = LaneOf(batch.Target);
            (lane.Batch, lane.IsStored, lane.State) = (batch, true, LaneState.Confirm);
            // Whether their keys chose the partition is not stored.
            lane.MayMove = true;
            _queued.UnionWith(batch.Ids);
            Change(lane, batch.Ids.Count);
        }
    }

    /// <summary>Whether an id is to be noted.</summary>
    public bool NeedsMark(long last) => last > _lastMarked;

    /// <summary>Notes the last id that was given out.</summary>
    /// <param name="last">The id.</param>
    /// <param name="transaction">A transaction that was given its id after <paramref name="last"/> was read: every transaction that has
    /// added a message up to that has a smaller id.</param>
    public void Mark(long last, ulong transaction)
    {
        if (!NeedsMark(last))
            return;
        _lastMarked = last;
        if (_marks.Count == MostMarks)
            _marks.RemoveAt(MostMarks - 1);
        _marks.Add((last, transaction));
    }

    /// <summary>All transactions below an id have ended.</summary>
    public void See(ulong oldestRunning)
    {
        while (_marks.Count > 0 && _marks[0].Transaction <= oldestRunning)
        {
            Watermark = _marks[0].Last;
            _marks.RemoveAt(0);
        }
    }

    /// <summary>Takes what was answered: messages to delete, and messages to park.</summary>
    public (IReadOnlyList<long> Done, IReadOnlyList<OutboxRefusal> Refused) TakeAnswers()
    {
        var answers = (Done: _done.ToArray(), Refused: _refused.ToArray());
        _done.Clear();
        _refused.Clear();
        return answers;
    }

    /// <summary>Returns the next messages of all topics to read; null: there are none.</summary>
    public OutboxRead? NextRead() => _read < Watermark ? new OutboxRead(null, _read, Watermark, readLimit) : null;

    /// <summary>Returns what is to be read of topics that have left messages in the table. The messages of each are queued
    /// (<see cref="Add"/>) before the next one is asked for. Lanes take turns, over all transactions.</summary>
    public IEnumerable<OutboxRead> TopicReads()
    {
        var read = 0L;
        for (var skipped = 0; skipped < _sources.Count && read < readLimit;)
        {
            var source = _sources[_nextSource % _sources.Count];
            _nextSource = (_nextSource + 1) % _sources.Count;
            if (!MayRead(source))
            {
                skipped++;
                continue;
            }
            skipped = 0;
            var next = ReadOf(source);
            read += next.Limit;
            yield return next;
        }
    }

    private bool MayRead(Source source) => source.Lane is { } lane
        // What waits for its topic is not in its lane yet.
        ? lane is { LeftAt: not null } && lane.Count <= laneLimit / 2 && source.Topic.Undecided.Count == 0
        : source.Topic is { LeftAt: not null } topic && (topic.Partitions is not null || topic.Undecided.Count <= laneLimit / 2);

    // A lane reads no more than it has room for, so that it is not full before the end, and reads nothing twice. The messages of a topic
    // are queued, or left by their lanes.
    private OutboxRead ReadOf(Source source) => source.Lane is { } lane
        ? new OutboxRead(source.Name, lane.LeftAt!.Value, source.Topic.LeftAt ?? _read, laneLimit - lane.Count, lane.Target.Partition)
        : new OutboxRead(source.Name, source.Topic.LeftAt!.Value, _read,
            source.Topic.Partitions is null ? laneLimit - source.Topic.Undecided.Count : Math.Max(1, readLimit / 2));

    /// <summary>Queues messages that were read.</summary>
    public void Add(OutboxRead read, IReadOnlyList<OutboxRow> rows)
    {
        // The end of what was asked for may be reached by the last message, too.
        var isWhole = rows.Count < read.Limit || rows[^1].Id == read.UpTo;
        if (read.Topic is null)
        {
            foreach (var row in rows)
                Place(row);
            _read = isWhole ? read.UpTo : rows[^1].Id;
            return;
        }
        var topic = TopicOf(read.Topic);
        if (read.Partition is not null)
        {
            AddToLanes(topic, read, rows, isWhole);
            return;
        }
        topic.LeftAt = null;
        foreach (var row in rows)
            Place(row);
        if (!isWhole)
            topic.LeftAt ??= rows[^1].Id;
    }

    // Every lane that has left messages from the beginning of the read on gets what it has room for.
    private void AddToLanes(TopicQueue topic, OutboxRead read, IReadOnlyList<OutboxRow> rows, bool isWhole)
    {
        var reading = topic.Lanes.Where(lane => lane.LeftAt >= read.Above).ToHashSet();
        foreach (var row in rows)
        {
            if (_queued.Contains(row.Id) || PartitionOf(topic, row) is not { } partition)
                continue;
            var lane = LaneOf(new TopicPartition(row.Topic, partition));
            if (row.Id <= lane.LeftAt || !reading.Contains(lane))
                continue;
            if (lane.Count < laneLimit)
            {
                Append(lane, row);
                continue;
            }
            lane.LeftAt = row.Id - 1;
            reading.Remove(lane);
        }
        foreach (var lane in reading)
            lane.LeftAt = isWhole ? null : Math.Max(lane.LeftAt!.Value, rows[^1].Id);
    }

    // A message that follows all others of its topic that were placed.
    private void Place(OutboxRow row)
    {
        var topic = TopicOf(row.Topic);
        if (topic.LeftAt is not null || _queued.Contains(row.Id))
            return;
        if (topic.Undecided.Count == 0 && PartitionOf(topic, row) is { } partition)
        {
            Place(row, partition);
        }
        else if (topic.Undecided.Count < laneLimit)
        {
            topic.Count++;
            topic.Undecided.Enqueue(row);
        }
        else
        {
            topic.LeftAt = row.Id - 1;
        }
    }

    private void Place(OutboxRow row, int partition)
    {
        var lane = LaneOf(new TopicPartition(row.Topic, partition));
        if (lane.LeftAt is not null)
            return;
        if (lane.Count < laneLimit)
            Append(lane, row);
        else
            lane.LeftAt = row.Id - 1;
    }

    private void Append(Lane lane, OutboxRow row)
    {
        Change(lane, 1);
        lane.MayMove |= row.Partition is null;
        lane.Waiting.AddLast((row.Id, row.Size));
    }

    // Null: its topic's number of partitions is not known yet.
    private int? PartitionOf(TopicQueue topic, OutboxRow row) => row.Partition
        ?? (topic.Partitions is { } partitions ? Murmur2Partitioner.ForKey(row.Key ?? _outbox, partitions) : null);

    /// <summary>Returns the topics that have messages, whose number of partitions decides where they go.</summary>
    public IReadOnlyList<string> Topics() =>
        [.. _topics.Where(static topic => topic.Value.Count > 0 || topic.Value.LeftAt is not null
            || topic.Value.Lanes.Exists(static lane => lane.LeftAt is not null)).Select(static topic => topic.Key)];

    /// <summary>A topic has a number of partitions. Messages that are queued for a partition stay there.</summary>
    public void Route(string name, int partitions)
    {
        var topic = TopicOf(name);
        var isAnother = topic.Partitions is { } known && known != partitions;
        topic.Partitions = partitions;
        // What lanes have left is of other lanes now.
        if (isAnother)
            ReadAgain(topic);
        while (topic.Undecided.TryDequeue(out var row))
        {
            topic.Count--;
            Place(row, PartitionOf(topic, row)!.Value);
        }
    }

    /// <summary>Whether a topic of so many partitions has lost one that messages are bound to by their key: the broker does not know
    /// it.</summary>
    public bool HasLost(string name, int partitions) =>
        _topics.TryGetValue(name, out var topic) && topic.Lanes.Exists(lane => IsLost(lane, partitions));

    /// <summary>The topic has so many partitions now, which is certain. Messages that are bound to others are bound anew: a topic never has
    /// fewer than before, so theirs is deleted with all of its records, and this is another one. Those that were added for a partition
    /// keep it.</summary>
    /// <returns>The partitions of the messages that are bound anew.</returns>
    public IReadOnlyList<TopicPartition> Rebind(string name, int partitions)
    {
        Route(name, partitions);
        var topic = TopicOf(name);
        var lost = topic.Lanes.Where(lane => IsLost(lane, partitions)).ToList();
        foreach (var lane in lost)
        {
            var batch = lane.Batch!;
            Leave(lane, batch, batch.Ids);
            lane.LeftAt = Math.Min(lane.LeftAt ?? long.MaxValue, lane.Waiting.Min(static message => message.Id) - 1);
            _queued.ExceptWith(lane.Waiting.Select(static message => message.Id));
            Change(lane, -lane.Waiting.Count);
            lane.Waiting.Clear();
            (lane.Singles, lane.MayMove, lane.IsUnknown) = (0, false, false);
        }
        if (lost.Count > 0)
            ReadAgain(topic);
        return [.. lost.Select(static lane => lane.Target)];
    }

    private static bool IsLost(Lane lane, int partitions) => lane.Target.Partition >= partitions
        && lane is { MayMove: true, IsUnknown: true, Batch: not null, State: not LaneState.Sending };

    // From the first message that a lane has left.
    private void ReadAgain(TopicQueue topic)
    {
        if (topic.Lanes.Min(static lane => lane.LeftAt) is not { } from)
            return;
        foreach (var lane in topic.Lanes)
        {
            lane.LeftAt = null;
            _queued.UnionWith(lane.Waiting.Select(static message => message.Id).Concat(lane.Batch?.Ids ?? []).Where(id => id > from));
        }
        // What is not read yet will be.
        if (from < _read)
            topic.LeftAt = Math.Min(from, topic.LeftAt ?? from);
    }

    /// <summary>Returns the messages that wait until their topic has a number of partitions.</summary>
    public IReadOnlyList<long> Undecided(string name) =>
        _topics.TryGetValue(name, out var topic) ? [.. topic.Undecided.Select(static row => row.Id)] : [];

    /// <summary>Forgets messages that wait for their topic, and are in the table no more.</summary>
    /// <param name="name">The topic.</param>
    /// <param name="existing">Those of <see cref="Undecided"/> that are in the table.</param>
    public void Drop(string name, IReadOnlySet<long> existing)
    {
        var topic = TopicOf(name);
        for (var left = topic.Undecided.Count; left > 0; left--)
        {
            var row = topic.Undecided.Dequeue();
            if (existing.Contains(row.Id))
                topic.Undecided.Enqueue(row);
            else
                topic.Count--;
        }
    }

    /// <summary>Returns what a transaction loads: batches to store, and stored ones to send again.</summary>
    public IReadOnlyList<OutboxTake> Take()
    {
        var takes = new List<OutboxTake>();
        for (var tried = 0; tried < _turns.Count && takes.Count < MaxTakes; tried++)
        {
            var lane = _turns[_nextTurn++ % _turns.Count];
            if (lane.State == LaneState.Confirm)
                takes.Add(new OutboxTake(lane.Target, lane.Batch!.Ids, lane.Batch));
            else if (lane.State == LaneState.Idle && lane.Waiting.Count > 0)
                takes.Add(new OutboxTake(lane.Target, Next(lane), null));
        }
        _nextTurn %= Math.Max(1, _turns.Count);
        return takes;
    }

    private static List<long> Next(Lane lane)
    {
        var ids = new List<long>();
        var bytes = 0L;
        while (lane.Waiting.First is { Value: var (id, size) }
            && (ids.Count == 0 || (lane.Singles == 0 && ids.Count < MaxBatch && bytes + size <= MaxBatchBytes)))
        {
            lane.Waiting.RemoveFirst();
            ids.Add(id);
            bytes += size;
        }
        return ids;
    }

    /// <summary>Decides what the transaction stores.</summary>
    /// <param name="takes">What it has loaded.</param>
    /// <param name="exists">Whether a message is in the table, and is not parked.</param>
    public OutboxBinding Bind(IReadOnlyList<OutboxTake> takes, Func<long, bool> exists)
    {
        var (stores, sends) = (new List<OutboxBatch>(), new List<OutboxBatch>());
        foreach (var take in takes)
        {
            var lane = LaneOf(take.Target);
            var ids = take.Ids.Where(exists).ToArray();
            Change(lane, ids.Length - take.Ids.Count);
            if (take.Stored is { } stored && ids.Length < stored.Ids.Count)
            {
                // Discarded messages are not sent again. The others are another batch.
                Leave(lane, stored, ids);
                continue;
            }
            if (take.Stored is not null)
            {
                sends.Add(lane.Send());
                continue;
            }
            if (ids.Length == 0)
                continue;
            lane.Batch = new OutboxBatch(lane.Target, producerId, lane.Epoch, lane.Sequence, ids);
            lane.Sequence = (int)((lane.Sequence + (long)ids.Length) & int.MaxValue);
            lane.IsStored = true;
            stores.Add(lane.Batch);
            sends.Add(lane.Send());
        }
        var removes = new List<TopicPartition>();
        foreach (var lane in _lanes.Values.Where(static lane => lane is { IsStored: true, Batch: null }))
        {
            lane.IsStored = false;
            removes.Add(lane.Target);
        }
        return new OutboxBinding(stores, removes, sends);
    }

    /// <summary>The broker has answered a batch, or a call has failed.</summary>
    public OutboxVerdict Answer(OutboxBatch batch, ErrorCode error, string? reason)
    {
        var lane = LaneOf(batch.Target);
        Invariant.Check(lane.State == LaneState.Sending && lane.Batch == batch, "An answer is that of the batch on its way.");
        lane.IsUnknown = error == ErrorCode.UnknownTopicOrPartition;
        var verdict = Judge(error, batch.Ids.Count);
        switch (verdict)
        {
            case OutboxVerdict.Retry:
                lane.State = LaneState.Pausing;
                break;
            case OutboxVerdict.Delivered:
                _done.AddRange(batch.Ids);
                Settle(lane);
                break;
            case OutboxVerdict.Refused:
                _refused.Add(new OutboxRefusal(batch.Ids[0], $"{error}: {reason}"));
                Settle(lane);
                Leave(lane, batch, []);
                break;
            case OutboxVerdict.Split:
                Leave(lane, batch, batch.Ids);
                lane.Singles = batch.Ids.Count;
                break;
            default:
                Leave(lane, batch, batch.Ids);
                break;
        }
        return verdict;
    }

    /// <summary>The pause before a repetition is over.</summary>
    public void Resume(OutboxBatch batch)
    {
        var lane = LaneOf(batch.Target);
        if (lane.State == LaneState.Pausing && lane.Batch == batch)
            lane.State = LaneState.Confirm;
    }

    private void Settle(Lane lane)
    {
        Change(lane, -lane.Batch!.Ids.Count);
        lane.Singles = Math.Max(0, lane.Singles - lane.Batch.Ids.Count);
        lane.Batch = null;
        lane.State = LaneState.Idle;
    }

    // The batch is not sent again under its sequences. Those that come are of another epoch, which fences what is on its way.
    private void Leave(Lane lane, OutboxBatch batch, IReadOnlyList<long> remaining)
    {
        for (var i = remaining.Count - 1; i >= 0; i--)
            lane.Waiting.AddFirst((remaining[i], 0));
        lane.Batch = null;
        lane.State = LaneState.Idle;
        // A batch of an earlier session has another producer.
        if (batch.ProducerId != producerId)
            return;
        lane.Sequence = 0;
        lane.Epoch++;
        IsWornOut |= lane.Epoch >= LastEpoch;
    }

    // Only what lies in the message itself is for good. A topic that does not exist, or may not be written to, is mended, and a queue that
    // is full is emptied.
    private static OutboxVerdict Judge(ErrorCode error, int count) => error switch
    {
        ErrorCode.None or ErrorCode.DuplicateSequenceNumber => OutboxVerdict.Delivered,
        ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord or ErrorCode.InvalidTimestamp =>
            count > 1 ? OutboxVerdict.Split : OutboxVerdict.Refused,
        ErrorCode.OutOfOrderSequenceNumber or ErrorCode.InvalidProducerEpoch or ErrorCode.UnknownProducerId => OutboxVerdict.Renewed,
        _ => OutboxVerdict.Retry,
    };

    private Lane LaneOf(TopicPartition target)
    {
        if (_lanes.TryGetValue(target, out var lane))
            return lane;
        var topic = TopicOf(target.Topic);
        lane = _lanes[target] = new Lane(target, topic, epoch);
        topic.Lanes.Add(lane);
        _turns.Add(lane);
        _sources.Add(new Source(target.Topic, topic, lane));
        return lane;
    }

    private TopicQueue TopicOf(string name)
    {
        if (_topics.TryGetValue(name, out var topic))
            return topic;
        topic = _topics[name] = new TopicQueue();
        _sources.Add(new Source(name, topic, null));
        return topic;
    }

    private static void Change(Lane lane, int count)
    {
        lane.Count += count;
        lane.Topic.Count += count;
    }

    /// <summary>What reads may begin with: a lane, or null for what a topic has left for all of its lanes.</summary>
    private sealed record Source(string Name, TopicQueue Topic, Lane? Lane);

    private enum LaneState
    {
        Idle = 0,
        // The batch is stored. A transaction that proves that the session goes on comes before it is sent again.
        Confirm = 1,
        Sending = 2,
        Pausing = 3,
    }

    private sealed class Lane(TopicPartition target, TopicQueue topic, short epoch)
    {
        public TopicPartition Target => target;
        public TopicQueue Topic => topic;
        // Those that wait, and those of the batch.
        public int Count { get; set; }
        // More were read than could be queued: the others, above this id, are read again. Null: there are none.
        public long? LeftAt { get; set; }
        // Whether the partition of a message may have been chosen by its key.
        public bool MayMove { get; set; }
        // Whether the broker has answered last that there is no such partition.
        public bool IsUnknown { get; set; }
        public LinkedList<(long Id, int Size)> Waiting { get; } = [];
        public LaneState State { get; set; }
        public OutboxBatch? Batch { get; set; }
        // Whether the table has a batch of this partition.
        public bool IsStored { get; set; }
        // Of the next batch.
        public short Epoch { get; set; } = epoch;
        public int Sequence { get; set; }
        // So many messages are sent one by one.
        public int Singles { get; set; }

        public bool IsReady => State == LaneState.Confirm
            || (State == LaneState.Idle && (Waiting.Count > 0 || (IsStored && Batch is null)));

        public OutboxBatch Send()
        {
            State = LaneState.Sending;
            return Batch!;
        }
    }

    private sealed class TopicQueue
    {
        // Messages that wait until the number of partitions is known.
        public Queue<OutboxRow> Undecided { get; } = new();
        public int? Partitions { get; set; }
        public int Count { get; set; }
        public List<Lane> Lanes { get; } = [];
        // More were read than could wait for the number of partitions, or it has changed: the others, above this id, are read again. What
        // lanes have left is below.
        public long? LeftAt { get; set; }
    }
}
