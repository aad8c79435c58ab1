using System.Globalization;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>
/// What administrators were told of transactions and of partitions' ends, judged at the end of a run. Thread safe.
/// <para>An answer is compared with those alone that had come before it was asked for. Ends are told by leaders: for the time of its lease
/// an earlier leader may answer beside a later one, so ends of a later epoch are never compared with those of an earlier one. What a
/// partition or a list tells of open transactions may be older than it seems, and is judged in the end alone.</para>
/// </summary>
/// <param name="violations">Receives what is wrong.</param>
/// <param name="hasOwnEpochs">Whether each transaction of a transactional id has an epoch of its own (KIP-890).</param>
internal sealed class AdminHistory(Violations violations, Func<string, bool> hasOwnEpochs)
{
    // From this epoch on a producer continues with another id.
    private const int Exhausted = short.MaxValue - 1;

    private readonly Lock _lock = new();
    private readonly Dictionary<(string Topic, int Partition), Log> _logs = [];
    private readonly Dictionary<string, Id> _ids = [];
    // The transaction of each value, when the commit of each was asked for, and which commits were answered.
    private readonly Dictionary<string, string> _transactions = [];
    private readonly Dictionary<string, long> _askedFor = [];
    private readonly HashSet<string> _committed = [];
    private (long Asked, string[] Entries) _listed = (-1, []);
    private int _lists;

    /// <summary>The number of answers of each kind, for the figures.</summary>
    public string Figures
    {
        get
        {
            lock (_lock)
                return string.Create(CultureInfo.InvariantCulture, $"{Ends} ends, "
                    + $"{_logs.Values.Sum(static log => log.Opens)} partitions' producers, "
                    + $"{_ids.Values.Sum(static id => id.Told.Count)} descriptions, {Numbered} of them numbered, {_lists} lists");
        }
    }

    /// <summary>The number of ends that are judged: those that name their leader's epoch.</summary>
    public int Ends
    {
        get
        {
            lock (_lock)
                return _logs.Values.Sum(static log => log.Ends.Count(static end => end.Epoch >= 0));
        }
    }

    /// <summary>The number of descriptions that name the transaction's number.</summary>
    public int Numbered
    {
        get
        {
            lock (_lock)
                return _ids.Values.Sum(static id => id.Told.Count(static told => told.Number >= 0));
        }
    }

    /// <summary>Takes an event.</summary>
    public void Take(TransactionEvent seen)
    {
        lock (_lock)
        {
            var words = seen.Words;
            switch (seen.Kind)
            {
                case TransactionEventKind.Initialised:
                    var id = IdOf(words[0]);
                    id.KnownAt = Math.Min(id.KnownAt, seen.Nanos);
                    break;
                case TransactionEventKind.Sending:
                    _transactions[words[3]] = words[0];
                    break;
                case TransactionEventKind.Asking when words[1] == "Commit":
                    _askedFor.TryAdd(words[0], seen.Nanos);
                    break;
                case TransactionEventKind.Ended when words[1] == "Commit":
                    _committed.Add(words[0]);
                    break;
                // A repeated batch may have an offset that is not known.
                case TransactionEventKind.Stored when Long(words[2]) >= 0:
                    LogOf(words[0], words[1]).Stored.Add((seen.Nanos, Long(words[2]) + 1, words[3]));
                    break;
                case TransactionEventKind.Read or TransactionEventKind.Polled:
                    LogOf(words[1], words[2]).Read.Add((seen.Nanos, Long(words[3]) + 1));
                    break;
                case TransactionEventKind.End:
                    LogOf(words[0], words[1]).Ends.Add(
                        new End(words[2] == "Committed", Long(words[3]), seen.Nanos, (int)Long(words[4]), Long(words[5])));
                    break;
                case TransactionEventKind.Open:
                    LogOf(words[0], words[1]).TakeOpen(Long(words[2]), words[3]);
                    break;
                case TransactionEventKind.Described:
                    IdOf(words[0]).Told.Add(new Description(Long(words[1]), seen.Nanos, Long(words[2]), (int)Long(words[3]),
                        Long(words[4]), words[5]));
                    break;
                case TransactionEventKind.Listed:
                    _lists++;
                    if (Long(words[0]) > _listed.Asked)
                        _listed = (Long(words[0]), words[1] == "-" ? [] : words[1].Split(','));
                    break;
            }
        }
    }

    /// <summary>Finds what is open, or was not asked about, since a time when all clients had ended. Empty: nothing is left of any
    /// transaction.</summary>
    /// <param name="since">The time.</param>
    /// <param name="partitions">The partitions of the run.</param>
    public IReadOnlyList<string> FindOpen(long since, IEnumerable<(string Topic, int Partition)> partitions)
    {
        lock (_lock)
        {
            var open = new List<string>();
            foreach (var (topic, partition) in partitions)
                open.AddRange(LogOf(topic, partition).FindOpen(since).Select(what => $"{topic}-{partition}: {what}"));
            foreach (var (name, id) in _ids)
            {
                var last = id.Told.Where(told => told.Asked >= since).MaxBy(static told => told.Answered);
                if (last is null || !IsAtRest(last.Phase))
                    open.Add($"{name} is described as {last?.Phase ?? "nothing"}");
            }
            if (_listed.Asked < since)
                return [.. open, "no list"];
            var listed = _listed.Entries.Select(static entry => entry.Split('=')).ToLookup(static entry => entry[0],
                static entry => entry[1]);
            open.AddRange(listed.Where(static id => id.Count() > 1).Select(static id => $"{id.Key} is listed twice"));
            var phases = listed.ToDictionary(static id => id.Key, static id => id.First());
            open.AddRange(_ids.Where(id => id.Value.KnownAt < since && !phases.ContainsKey(id.Key))
                .Select(static id => $"{id.Key} is not listed"));
            open.AddRange(phases.Where(static id => !IsAtRest(id.Value)).Select(static id => $"{id.Key} is listed as {id.Value}"));
            return open;
        }
    }

    /// <summary>Judges everything. Called once, when nothing is asked any more.</summary>
    public void Judge()
    {
        lock (_lock)
        {
            foreach (var (partition, log) in _logs)
                JudgeEnds($"{partition.Topic}-{partition.Partition}", log);
            foreach (var (name, id) in _ids)
                JudgeId(name, id);
        }
    }

    private void JudgeEnds(string partition, Log log)
    {
        var ends = log.Ends.Where(static end => end.Epoch >= 0).ToList();
        if (ends.Count == 0)
            return;
        var (stable, high) = (ByEpoch(ends, isCommitted: true), ByEpoch(ends, isCommitted: false));
        var read = new KnownBefore(log.Read);
        var stored = new KnownBefore(log.Stored.Select(static record => (record.Answered, record.Next)));
        // By offset instead of by time: the latest commit of what is below. A transaction that is aborted may have ended by itself.
        var commits = new KnownBefore(log.Stored
            .Where(record => _committed.Contains(_transactions.GetValueOrDefault(record.Value, "")))
            .Select(record => (record.Next - 1, _askedFor[_transactions[record.Value]])));
        // Its leader has no successor that a client could have heard of.
        var last = ends.Max(static end => end.Epoch);
        foreach (var end in ends)
        {
            if (Highest(end.IsCommitted ? stable : high, end) is { } before && end.Offset < before)
                violations.Report(ViolationKind.WentBack, $"{partition}: {end} after {before}.");
            if (!end.IsCommitted && Highest(stable, end) is { } below && end.Offset < below)
                violations.Report(ViolationKind.BeyondHighWatermark, $"{partition}: {end} after the last stable offset {below}.");
            if (end.Epoch == last && read.At(end.Asked) is { } seen && end.Offset < seen)
                violations.Report(ViolationKind.WentBack, $"{partition}: {end} after a committed record at {seen - 1} was read.");
            if (end.IsCommitted && commits.At(end.Offset) is { } asked && end.Answered < asked)
                violations.Report(ViolationKind.StableTooEarly, $"{partition}: {end} {(asked - end.Answered) / 1_000_000} ms before the "
                    + "commit of a record below it was asked for.");
            if (end.Epoch == last && !end.IsCommitted && stored.At(end.Asked) is { } kept && end.Offset < kept)
                violations.Report(ViolationKind.Lost, $"{partition}: {end} after a record at {kept - 1} was acknowledged.");
        }
    }

    private static List<(int Epoch, KnownBefore Ends)> ByEpoch(IEnumerable<End> ends, bool isCommitted) =>
        [.. ends.Where(end => end.IsCommitted == isCommitted).GroupBy(static end => end.Epoch).Select(static epoch =>
            (epoch.Key, new KnownBefore(epoch.Select(static end => (end.Answered, end.Offset)))))];

    // By the leader of this end and by those before it.
    private static long? Highest(IEnumerable<(int Epoch, KnownBefore Ends)> known, End end) =>
        known.Where(other => other.Epoch <= end.Epoch).Max(other => other.Ends.At(end.Asked));

    private void JudgeId(string name, Id id)
    {
        var found = id.Told.Where(static told => told.ProducerId >= 0).ToList();
        var knownAt = found.Select(static told => told.Answered).Append(id.KnownAt).Min();
        if (id.Told.FirstOrDefault(told => told.ProducerId < 0 && told.Asked > knownAt) is { } missing)
            violations.Report(ViolationKind.Lost, $"{name}: it was not known {(missing.Asked - knownAt) / 1_000_000} ms after it was.");
        foreach (var told in found.Where(static told => told.Phase != Ongoing && !IsDecided(told.Phase) && told.Phase != Empty))
            violations.Report(ViolationKind.PhaseWrong, $"{name}: {told}.");
        var producers = found.Select(static told => told.ProducerId).Distinct().ToList();
        if (producers.Count > 1 && found.All(static told => told.Epoch < Exhausted))
            violations.Report(ViolationKind.StateWentBack, $"{name}: it had the producers {string.Join(", ", producers)}, none of which "
                + "had used its epochs up.");
        foreach (var producer in found.GroupBy(static told => told.ProducerId))
            JudgeOrder(name, [.. producer], static told => told.Epoch);
        JudgeOrder(name, [.. found.Where(static told => told.Number >= 0)], static told => told.Position);
        JudgeOutcomes(name, found.Where(static told => told.Number >= 0), static told => (0, told.Number));
        if (hasOwnEpochs(name))
            JudgeOutcomes(name, found, static told => (told.ProducerId, told.Epoch));
    }

    private void JudgeOrder(string name, IReadOnlyList<Description> found, Func<Description, long> position)
    {
        var known = new KnownBefore(found.Select(told => (told.Answered, position(told))));
        foreach (var told in found.Where(told => position(told) < known.At(told.Asked)))
            violations.Report(ViolationKind.StateWentBack, $"{name}: {told} was told after "
                + $"{found.First(other => other.Answered < told.Asked && position(other) > position(told))}.");
    }

    private void JudgeOutcomes(string name, IEnumerable<Description> found, Func<Description, (long, long)> transaction)
    {
        foreach (var one in found.Where(static told => IsDecided(told.Phase)).GroupBy(transaction))
        {
            if (one.FirstOrDefault(static told => told.IsCommit) is { } committed
                && one.FirstOrDefault(static told => !told.IsCommit) is { } aborted)
                violations.Report(ViolationKind.TwoOutcomes, $"{name}: {committed}, and {aborted}.");
        }
    }

    private const string Empty = "Empty", Ongoing = "Ongoing", PrepareCommit = "PrepareCommit", PrepareAbort = "PrepareAbort",
        CompleteCommit = "CompleteCommit", CompleteAbort = "CompleteAbort";

    // A coordinator keeps in memory that all partitions know. The next one tells them again, and describes that.
    private static bool IsDecided(string phase) => phase is PrepareCommit or PrepareAbort or CompleteCommit or CompleteAbort;

    private static bool IsAtRest(string phase) => phase is Empty or CompleteCommit or CompleteAbort;

    private Log LogOf(string topic, string partition) => LogOf(topic, (int)Long(partition));

    private Log LogOf(string topic, int partition)
    {
        if (!_logs.TryGetValue((topic, partition), out var log))
            _logs[(topic, partition)] = log = new Log();
        return log;
    }

    private Id IdOf(string name)
    {
        if (!_ids.TryGetValue(name, out var id))
            _ids[name] = id = new Id();
        return id;
    }

    private static long Long(string word) => long.Parse(word, CultureInfo.InvariantCulture);

    /// <summary>The end of a partition, to a reader of committed records or to one of all.</summary>
    private sealed record End(bool IsCommitted, long Asked, long Answered, int Epoch, long Offset)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"the leader of epoch {Epoch} told the {(IsCommitted ? "last stable offset" : "high watermark")} {Offset}");
    }

    /// <summary>A transactional id as it was described.</summary>
    private sealed record Description(long Asked, long Answered, long ProducerId, int Epoch, long Number, string Phase)
    {
        public bool IsCommit => Phase is PrepareCommit or CompleteCommit;

        /// <summary>Rises with each transaction, and within one.</summary>
        public long Position => (Number * 4) + (Phase == Empty ? 3 : IsDecided(Phase) ? 2 : 1);

        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"{Phase} of producer {ProducerId} with epoch {Epoch}{(Number < 0 ? "" : $", transaction {Number}")}");
    }

    private sealed class Id
    {
        public List<Description> Told { get; } = [];

        /// <summary>When a producer had it.</summary>
        public long KnownAt { get; set; } = long.MaxValue;
    }

    private sealed class Log
    {
        private (long Asked, string Producers) _open = (-1, "");

        public List<End> Ends { get; } = [];

        /// <summary>Offsets behind records that readers of committed records saw, and when.</summary>
        public List<(long Answered, long Next)> Read { get; } = [];

        /// <summary>Offsets behind acknowledged records, when, and their values.</summary>
        public List<(long Answered, long Next, string Value)> Stored { get; } = [];

        public int Opens { get; private set; }

        public void TakeOpen(long asked, string producers)
        {
            Opens++;
            if (asked > _open.Asked)
                _open = (asked, producers);
        }

        public IEnumerable<string> FindOpen(long since)
        {
            var (stable, high) = (Last(isCommitted: true, since), Last(isCommitted: false, since));
            if (stable is null || high is null)
                yield return "no end";
            else if (stable.Offset != high.Offset)
                yield return string.Create(CultureInfo.InvariantCulture, $"stable until {stable.Offset} of {high.Offset}");
            if (_open.Asked < since)
                yield return "no producers";
            else if (_open.Producers != "-")
                yield return $"open of {_open.Producers}";
        }

        private End? Last(bool isCommitted, long since) => Ends.Where(end => end.IsCommitted == isCommitted && end.Asked >= since)
            .MaxBy(static end => end.Answered);
    }
}
