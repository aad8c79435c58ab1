namespace OrleansMq.Tests.Simulation;

/// <summary>The steps of a run by their time; those of one time in the order in which they were added.</summary>
internal sealed class EventQueue
{
    // The upper bits of a key are the time, the lower ones the order: comparing one number costs a third of comparing two.
    private const int OrderBits = 36;
    // Later than any run ends: a step that is to come never.
    private const long Never = long.MaxValue >> OrderBits;

    private readonly PriorityQueue<Action, long> _steps = new();
    private long _order;

    public void Add(long time, Action step) => _steps.Enqueue(step, (Math.Min(time, Never) << OrderBits) | _order++);

    public bool TryTake([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Action? step, out long time)
    {
        var isTaken = _steps.TryDequeue(out step, out var key);
        time = key >> OrderBits;
        return isTaken;
    }
}
