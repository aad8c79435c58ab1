using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>What a client knows of schedules that repeat, and what the targets have of them:
/// see <see cref="ScheduleChecker"/>.</summary>
internal sealed class RepetitionChecker(ScheduleSimulation simulation)
{
    private readonly Dictionary<Guid, Known> _known = [];
    private readonly List<Guid> _ids = [];

    private sealed class Known
    {
        public required SimulatedScheduleTarget Target { get; init; }
        /// <summary>The first firings that requests asked for.</summary>
        public HashSet<long> Firsts { get; } = [];
        /// <summary>What leaders found to follow each firing; null: nothing.</summary>
        public Dictionary<long, HashSet<long?>> Followers { get; } = [];
        public bool IsScheduled { get; set; }
        public bool IsCancelTried { get; set; }
        public long? LastDelivered { get; set; }
        /// <summary>The firing whose cancellation was answered.</summary>
        public long? Cancelled { get; set; }
        public bool HasFiredSince { get; set; }
        /// <summary>A clock that was ahead found nothing to follow a firing that was refused: such a one is that of a cancelled
        /// schedule.</summary>
        public bool IsTakenForCancelled { get; set; }
        /// <summary>A clock that was ahead of the last firing found nothing to follow a firing that was refused, which had a next one: if
        /// its schedule was cancelled meanwhile, it is taken for one that ends by itself, and is tried again.</summary>
        public bool IsTakenForEnding { get; set; }

        public bool MayHaveEnded => Target.IsGone || Followers.Values.Any(followers => followers.Contains(null));
    }

    public IReadOnlyList<Guid> Ids => _ids;

    public bool Has(Guid id) => _known.ContainsKey(id);

    public bool IsAnswered(Guid id) => _known[id].IsScheduled;

    public void Try(ScheduleHandle first, SimulatedScheduleTarget target)
    {
        if (!_known.TryGetValue(first.Id, out var known))
        {
            _known.Add(first.Id, known = new Known { Target = target });
            _ids.Add(first.Id);
        }
        known.Firsts.Add(first.Due);
    }

    public void Created(Guid id, ScheduleOutcome outcome)
    {
        simulation.Figures.Repetitions += outcome == ScheduleOutcome.Scheduled && !_known[id].IsScheduled ? 1 : 0;
        _known[id].IsScheduled |= outcome == ScheduleOutcome.Scheduled;
    }

    /// <summary>A leader found what follows a firing.</summary>
    public void Found(ScheduleHandle firing, long? next)
    {
        var followers = _known[firing.Id].Followers;
        if (!followers.TryGetValue(firing.Due, out var found))
            followers.Add(firing.Due, found = []);
        found.Add(next);
    }

    /// <summary>A target refused a firing.</summary>
    public void Refused(ScheduleHandle firing, bool isLast)
    {
        var known = _known[firing.Id];
        known.IsTakenForCancelled |= !isLast && known.Followers[firing.Due].Contains(null);
        known.IsTakenForEnding |= isLast && known.Followers[firing.Due].Any(static next => next is not null);
    }

    /// <returns>Whether no other cancellation was tried.</returns>
    public bool TryCancel(Guid id)
    {
        var isFirst = !_known[id].IsCancelTried;
        _known[id].IsCancelTried = true;
        return isFirst;
    }

    /// <param name="id">The schedule.</param>
    /// <param name="firing">The firing that the leader had; null: none.</param>
    /// <param name="outcome">The answer.</param>
    /// <param name="isFirst">Whether no other cancellation was tried before.</param>
    public void CancelAnswered(Guid id, ScheduleHandle? firing, ScheduleOutcome outcome, bool isFirst)
    {
        var known = _known[id];
        Verdict.Require(!isFirst || outcome is ScheduleOutcome.Cancelled or ScheduleOutcome.Unclear || known.MayHaveEnded,
            $"5: {id} repeats, and its cancellation is answered with {outcome}.");
        if (outcome != ScheduleOutcome.Cancelled || known.Cancelled is not null)
            return;
        known.Cancelled = firing!.Value.Due;
        simulation.Figures.Ended++;
    }

    public void Delivered(ScheduleHandle firing, SimulatedScheduleTarget target)
    {
        var known = _known[firing.Id];
        Verdict.Require(known.LastDelivered is not { } before || before < firing.Due, $"2: {firing} is delivered behind a later firing.");
        // One that ended by a clock that was ahead is created again by a request that is repeated.
        var next = known.LastDelivered is { } last ? known.Followers[last] : [null];
        Verdict.Require(next.Contains(firing.Due) || next.Contains(null) && known.Firsts.Contains(firing.Due),
            $"1: {firing} is delivered behind {known.LastDelivered}, which it does not follow.");
        Verdict.Require(known.Cancelled is not { } cancelled || known.IsTakenForEnding
            || firing.Due <= cancelled && !known.HasFiredSince,
            $"4: {firing} is delivered, but the cancellation at {known.Cancelled} was answered.");
        Verdict.Require(known.Target == target, $"6: {firing} is delivered to another target.");
        (known.LastDelivered, known.HasFiredSince) = (firing.Due, known.Cancelled is not null);
        simulation.Figures.Firings++;
    }

    public void CheckEnd()
    {
        foreach (var (id, known) in _known)
        {
            Verdict.Require(!known.IsScheduled || known.IsCancelTried || known.Target.IsGone || known.IsTakenForCancelled
                || known.LastDelivered is { } last && known.Followers[last].Contains(null),
                $"1: {id} repeats, and has no firing behind {known.LastDelivered}.");
        }
    }
}
