using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>A dead-letter target, which keeps the last sequence of each incarnation.</summary>
internal sealed class SimulatedTarget
{
    private readonly Dictionary<Guid, long> _last = [];

    public HashSet<(Guid Incarnation, long Offset)> Records { get; } = [];
    public bool IsGone { get; set; }

    public void Append(IReadOnlyList<DeadLetterIntent> intents)
    {
        foreach (var intent in intents)
        {
            if (intent.Sequence <= _last.GetValueOrDefault(intent.Incarnation, -1))
                continue;
            _last[intent.Incarnation] = intent.Sequence;
            Verdict.Require(Records.Add((intent.Incarnation, intent.Offset)), $"6: {intent.Offset} is in the target twice.");
        }
    }
}
