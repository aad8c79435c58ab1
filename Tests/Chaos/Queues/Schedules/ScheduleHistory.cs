using System.Security.Cryptography;
using System.Text;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues.Schedules;

/// <summary>
/// What was scheduled, judged against the topic's log and the log of the schedules. A record comes once, not before its time, and never
/// after a cancellation that was answered. Of a schedule that repeats each firing that the schedules' log decided is a time of its
/// expression, is decided once, and has one record in the topic, not before its time: missed firings may be left out, and none comes twice.
/// Thread safe.
/// </summary>
internal sealed class ScheduleHistory(Violations violations)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Once> _once = [];
    private readonly Dictionary<string, Repeating> _repeating = [];

    /// <summary>The number of records that are appended once.</summary>
    public int Scheduled => Locked(() => _once.Count);

    /// <summary>The number of those that were cancelled.</summary>
    public int CancelledCount => Locked(() => _once.Values.Count(static one => one.IsCancelled));

    /// <summary>The number of firings in the topic.</summary>
    public int Firings => Locked(() => _repeating.Values.Sum(static one => one.Appended.Count));

    /// <summary>A record is about to be scheduled, for a time in milliseconds since 1970.</summary>
    public void Schedule(string id, long at) => Locked(() => _once[id] = new Once(at));

    /// <summary>A schedule was answered.</summary>
    public void Stored(string id) => Locked(() => _once[id].IsStored = true);

    /// <summary>A cancellation is about to be sent.</summary>
    public void Cancelling(string id) => Locked(() => _once[id].IsCancelling = true);

    /// <summary>The cancellation was answered: the record never comes.</summary>
    public void Cancelled(string id) => Locked(() => _once[id].IsCancelled = true);

    /// <summary>A schedule that repeats is about to be made: it fires at each multiple of a period, in milliseconds since 1970.</summary>
    public void Repeat(string id, long period) => Locked(() => _repeating[id] = new Repeating(period));

    /// <summary>The topic's log has a record.</summary>
    /// <param name="id">The schedule's id, as the record tells it.</param>
    /// <param name="at">When the topic's leader appended it, in milliseconds since 1970.</param>
    public void Take(string id, long at)
    {
        lock (_lock)
        {
            if (_once.TryGetValue(id, out var once))
                once.Appended.Add(at);
            else if (_repeating.TryGetValue(id, out var repeating))
                repeating.Appended.Add(at);
            else
                violations.Report(ViolationKind.NeverSent, $"the topic has a record of schedule '{id}', which was never made.");
        }
    }

    /// <summary>The log of the schedules has a decision to append a record.</summary>
    /// <param name="topicId">The topic.</param>
    /// <param name="hash">The schedule's id, as that log has it.</param>
    /// <param name="due">The record's time.</param>
    public void Decide(Guid topicId, Guid hash, long due)
    {
        lock (_lock)
            _repeating.FirstOrDefault(one => HashOf(topicId, one.Key) == hash).Value?.Decided.Add(due);
    }

    /// <summary>The records that are answered, not being cancelled, and not in the topic; and the schedules that repeat and have not fired
    /// since a time.</summary>
    public IReadOnlyList<string> Missing(long firedSince) => Locked<IReadOnlyList<string>>(() =>
        [.. _once.Where(static one => one.Value is { IsStored: true, IsCancelling: false, Appended.Count: 0 })
            .Select(static one => $"'{one.Key}', due {one.Value.At}"),
        .. _repeating.Where(one => !one.Value.Appended.Exists(at => at > firedSince)).Select(one => $"'{one.Key}', firing each "
            + $"{one.Value.Period} ms")]);

    /// <summary>The schedules that repeat of which not as many firings are in the topic as were decided.</summary>
    public IReadOnlyList<string> Pending() => Locked<IReadOnlyList<string>>(() => [.. _repeating
        .Where(static one => one.Value.Appended.Count != one.Value.Decided.Count)
        .Select(static one => $"'{one.Key}': {one.Value.Decided.Count} decided, {one.Value.Appended.Count} appended")]);

    /// <summary>Forgets the decisions: their log is read anew.</summary>
    public void BeginDecisions() => Locked(() =>
    {
        foreach (var one in _repeating.Values)
            one.Decided.Clear();
        return true;
    });

    /// <summary>Judges, once both logs were read.</summary>
    public void Judge()
    {
        lock (_lock)
        {
            foreach (var (id, once) in _once)
                Judge($"schedule '{id}', due {once.At}", once);
            foreach (var (id, repeating) in _repeating)
                Judge($"schedule '{id}', each {repeating.Period} ms", repeating);
        }
    }

    /// <summary>The id of a schedule as the schedules' log has it.</summary>
    public static Guid HashOf(Guid topicId, string id) => new(SHA256.HashData([.. topicId.ToByteArray(bigEndian: true),
        .. Encoding.UTF8.GetBytes(id)]).AsSpan(0, 16), bigEndian: true);

    private void Judge(string what, Once once)
    {
        if (once.Appended.Count > 1)
            violations.Report(ViolationKind.Doubled, $"{what}, was appended at {string.Join(", ", once.Appended)}.");
        if (once.Appended.Exists(at => at < once.At))
            violations.Report(ViolationKind.Early, $"{what}, was appended at {string.Join(", ", once.Appended)}.");
        if (once is { IsCancelled: true, Appended.Count: > 0 })
            violations.Report(ViolationKind.CameThoughCancelled, $"{what}, was appended at {string.Join(", ", once.Appended)}.");
        if (once is { IsStored: true, IsCancelling: false, Appended.Count: 0 })
            violations.Report(ViolationKind.Lost, $"{what}, was answered, not cancelled, and never appended.");
    }

    private void Judge(string what, Repeating repeating)
    {
        var (decided, appended) = (repeating.Decided.Order().ToList(), repeating.Appended.Order().ToList());
        for (var i = 0; i < decided.Count; i++)
        {
            if (decided[i] % repeating.Period != 0)
                violations.Report(ViolationKind.NeverSent, $"{what}, has a firing at {decided[i]}.");
            if (i > 0 && decided[i] == decided[i - 1])
                violations.Report(ViolationKind.Doubled, $"{what}, has two firings at {decided[i]}.");
            if (i < appended.Count && appended[i] < decided[i])
                violations.Report(ViolationKind.Early, $"{what}: its firing at {decided[i]} was appended at {appended[i]}.");
        }
        if (appended.Count > decided.Count)
            violations.Report(ViolationKind.Doubled, $"{what}, has {appended.Count} records for {decided.Count} firings.");
        if (appended.Count < decided.Count)
            violations.Report(ViolationKind.Lost, $"{what}, has {appended.Count} records for {decided.Count} firings.");
    }

    private T Locked<T>(Func<T> act)
    {
        lock (_lock)
            return act();
    }

    private sealed class Once(long at)
    {
        public long At => at;
        public bool IsStored { get; set; }
        public bool IsCancelling { get; set; }
        public bool IsCancelled { get; set; }
        public List<long> Appended { get; } = [];
    }

    private sealed class Repeating(long period)
    {
        public long Period => period;
        public List<long> Appended { get; } = [];
        public List<long> Decided { get; } = [];
    }
}
