using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>A dead letter as read from its topic.</summary>
/// <param name="Partition">The source's partition.</param>
/// <param name="Offset">The source's offset.</param>
/// <param name="Id">The identity of its value; null if that was never sent.</param>
internal readonly record struct Letter(int Partition, long Offset, RecordId? Id);

/// <summary>
/// Everything that consumers of queues saw, judged against what was sent. Events of different consumers come in any order and some are
/// missing, since consumers are killed and paused; so nothing is judged by time. The order of deliveries is that of their locks: whatever
/// was settled under a lock is settled for every later one. Thread safe.
/// </summary>
internal sealed class QueueHistory(QueueLoad load, Ledger ledger, Violations violations)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Queue, int Partition), SortedDictionary<long, RecordStory>> _stories = [];
    private long _delivered;
    private long _settled;
    private long _deferred;

    /// <summary>Deliveries of records.</summary>
    public long Delivered => Interlocked.Read(ref _delivered);

    /// <summary>Deliveries of deferred records by the queue that reads their times.</summary>
    public long Deferred => Interlocked.Read(ref _deferred);

    /// <summary>Answered settlements of ranges.</summary>
    public long Settled => Interlocked.Read(ref _settled);

    /// <summary>Takes an event.</summary>
    public void Take(QueueEvent seen)
    {
        lock (_lock)
        {
            switch (seen.Kind)
            {
                case QueueEventKind.Delivered:
                    _delivered++;
                    var story = StoryOf(seen.Queue, seen.Partition, seen.First);
                    story.Deliveries.Add(seen.Lock);
                    Identify(story, seen);
                    JudgeTime(seen);
                    break;
                case QueueEventKind.Tried:
                    foreach (var tried in HeldBy(seen))
                        tried.Tried.Add(seen.Action);
                    break;
                case QueueEventKind.Settled:
                    _settled++;
                    foreach (var settled in HeldBy(seen))
                        settled.Settle(seen.Lock, seen.Action);
                    break;
                default:
                    throw new NotSupportedException($"{seen.Kind} is no event.");
            }
        }
    }

    /// <summary>Judges, once faults have ended and both queues are empty.</summary>
    public void Judge(IReadOnlyList<Letter> letters)
    {
        lock (_lock)
        {
            foreach (var ((queue, partition), stories) in _stories)
            {
                foreach (var (offset, story) in stories)
                    JudgeSettled($"queue {queue}, partition {partition}, offset {offset}, {story.Id}", story);
            }
            for (var partition = 0; partition < load.Partitions; partition++)
                JudgeOrder(partition);
            var byOffset = JudgeLetters(letters);
            for (var partition = 0; partition < load.Partitions; partition++)
            {
                foreach (var (producer, entries) in ledger.Of(partition))
                {
                    for (var number = 0; number < entries.Length; number++)
                    {
                        if (entries[number] is { Outcome: Outcome.Acknowledged, Offset: >= 0 and var offset })
                            JudgeAcknowledged(partition, offset, new RecordId(producer, number), byOffset);
                    }
                }
            }
        }
    }

    private RecordStory StoryOf(string queue, int partition, long offset)
    {
        if (!_stories.TryGetValue((queue, partition), out var stories))
            _stories[(queue, partition)] = stories = [];
        if (!stories.TryGetValue(offset, out var story))
            stories[offset] = story = new RecordStory();
        return story;
    }

    // A range may span offsets that its lock does not hold.
    private IEnumerable<RecordStory> HeldBy(QueueEvent seen)
    {
        for (var offset = seen.First; offset <= seen.Last; offset++)
        {
            if (_stories.GetValueOrDefault((seen.Queue, seen.Partition))?.GetValueOrDefault(offset) is { } story
                && story.Deliveries.Contains(seen.Lock))
                yield return story;
        }
    }

    private void Identify(RecordStory story, QueueEvent seen)
    {
        var where = $"queue {seen.Queue}, partition {seen.Partition}, offset {seen.First}";
        if (seen.Id is not { } id)
            violations.Report(ViolationKind.Damaged, $"{where} has a value that was never sent.");
        else if (story.Id is { } before && before != id)
            violations.Report(ViolationKind.Changed, $"{where} was {before} and is {id}.");
        else if (ledger.Find(seen.Partition, id) is not { } sent)
            violations.Report(ViolationKind.NeverSent, $"{where} is {id}, which was never sent there.");
        else if (sent.Outcome == Outcome.Refused)
            violations.Report(ViolationKind.WrittenThoughRefused, $"{where} is {id}, which was reported as not written.");
        else
            story.Id = id;
    }

    // Only one of the queues reads records' times.
    private void JudgeTime(QueueEvent seen)
    {
        if (seen is not { Queue: QueueLoad.Work, Id: { } id } || !load.Records.IsDeferred(id))
            return;
        var where = $"queue {seen.Queue}, partition {seen.Partition}, offset {seen.First}, {id}";
        _deferred++;
        if (seen.DeliverAt == 0)
            violations.Report(ViolationKind.Damaged, $"{where} was deferred, and came without its time.");
        else if (seen.At < seen.DeliverAt)
            violations.Report(ViolationKind.Early, $"{where} was delivered at {seen.At}, and deferred to {seen.DeliverAt}.");
    }

    private void JudgeSettled(string where, RecordStory story)
    {
        if (story.Settled is { } settled && story.Deliveries.Max is var last && last > settled)
            violations.Report(ViolationKind.SettledAgain, $"{where} was settled under lock {settled}, and delivered under {last}.");
    }

    // No record of a key is delivered under a later lock than a higher one of its key: that one waits until it is settled.
    private void JudgeOrder(int partition)
    {
        var stories = _stories.GetValueOrDefault((QueueLoad.Ordered, partition)) ?? [];
        foreach (var key in stories.Where(static story => story.Value.Id is not null)
            .GroupBy(story => load.Records.KeyOf(story.Value.Id!.Value)))
        {
            (LockPlace Lock, long Offset)? latest = null;
            foreach (var (offset, story) in key)
            {
                if (latest is { } before && story.Deliveries.Min <= before.Lock)
                {
                    violations.Report(ViolationKind.KeyReordered, $"queue {QueueLoad.Ordered}, partition {partition}, key {key.Key}: "
                        + $"offset {offset} was delivered under lock {story.Deliveries.Min}, and offset {before.Offset} under "
                        + $"{before.Lock}.");
                }
                if (latest is null || story.Deliveries.Max > latest.Value.Lock)
                    latest = (story.Deliveries.Max, offset);
            }
        }
    }

    private HashSet<(int Partition, long Offset)> JudgeLetters(IReadOnlyList<Letter> letters)
    {
        var offsets = new HashSet<(int, long)>();
        foreach (var letter in letters)
        {
            var where = $"the dead letter of partition {letter.Partition}, offset {letter.Offset}";
            if (!offsets.Add((letter.Partition, letter.Offset)))
                violations.Report(ViolationKind.LetterDoubled, $"{where} is there twice.");
            var story = _stories.GetValueOrDefault((QueueLoad.Work, letter.Partition))?.GetValueOrDefault(letter.Offset);
            if (letter.Id is not { } id || ledger.Find(letter.Partition, id) is not { Outcome: not Outcome.Refused } sent
                || (sent.Outcome == Outcome.Acknowledged && sent.Offset >= 0 && sent.Offset != letter.Offset))
                violations.Report(ViolationKind.LetterWrong, $"{where} is {letter.Id}, which was not sent there.");
            // Failures of an innocent record are deaths of its consumers.
            else if (QueueLoad.FateOf(QueueLoad.Work, id) is not (RecordFate.Rejected or RecordFate.AlwaysFails)
                && (story?.Deliveries.Count ?? 0) < load.MaxFailures)
                violations.Report(ViolationKind.LetterWrong, $"{where} is {id}, which was delivered {story?.Deliveries.Count ?? 0} times "
                    + $"and may fail {load.MaxFailures} times.");
            else if (story is { HasAccepted: true })
                violations.Report(ViolationKind.LetterWrong, $"{where} is {id}, which was accepted under lock {story.Settled}.");
        }
        return offsets;
    }

    private void JudgeAcknowledged(int partition, long offset, RecordId id, HashSet<(int Partition, long Offset)> letters)
    {
        var isLetter = letters.Contains((partition, offset));
        foreach (var queue in QueueLoad.Queues)
        {
            var story = _stories.GetValueOrDefault((queue, partition))?.GetValueOrDefault(offset);
            var isRefused = QueueLoad.FateOf(queue, id) is RecordFate.Rejected or RecordFate.AlwaysFails;
            if (story?.Id is { } other && other != id)
                violations.Report(ViolationKind.Changed, $"partition {partition}, offset {offset} was acknowledged as {id}, and queue "
                    + $"{queue} delivered {other}.");
            if (isRefused && !isLetter)
                violations.Report(ViolationKind.LetterMissing, $"{id}, acknowledged in partition {partition} at offset {offset}, was "
                    + $"refused by queue {queue} ({story}), and has no dead letter.");
            else if (!isRefused && story?.Tried.Contains(QueueAction.Accept) != true && !(isLetter && queue == QueueLoad.Work))
                violations.Report(ViolationKind.Lost, $"{id}, acknowledged in partition {partition} at offset {offset}, has left queue "
                    + $"{queue}, and no consumer has accepted it ({story?.ToString() ?? "never delivered"}).");
        }
    }

    /// <summary>What is known of a record in a queue.</summary>
    private sealed class RecordStory
    {
        public RecordId? Id { get; set; }
        public SortedSet<LockPlace> Deliveries { get; } = [];
        public HashSet<QueueAction> Tried { get; } = [];
        public LockPlace? Settled { get; private set; }
        public bool HasAccepted { get; private set; }

        public void Settle(LockPlace held, QueueAction action)
        {
            HasAccepted |= action == QueueAction.Accept;
            if (Settled is not { } before || held < before)
                Settled = held;
        }

        public override string ToString() => $"delivered under {string.Join(", ", Deliveries)}, tried {string.Join(", ", Tried)}, settled "
            + $"under {Settled?.ToString() ?? "none"}";
    }
}
