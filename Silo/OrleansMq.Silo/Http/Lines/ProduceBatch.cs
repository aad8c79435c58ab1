using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Silo.Http.Lines;

/// <summary>A batch on its way: built, sent, and answered record by record.</summary>
internal sealed class ProduceBatch(int partition, RecordBatchBuilder builder)
{
    private volatile bool _isDone;

    /// <summary>Where it goes.</summary>
    public int Partition { get; } = partition;

    /// <summary>What it is built in; free for another batch once this one is done.</summary>
    public RecordBatchBuilder Builder { get; } = builder;

    /// <summary>Bytes counted against the stream's bound while it is sent.</summary>
    public int SizeInBytes { get; set; }

    /// <summary>How many of its records were answered: the next one's place.</summary>
    public int Answered { get; set; }

    /// <summary>Whether <see cref="Result"/> is there.</summary>
    public bool IsDone => _isDone;

    /// <summary>What became of it.</summary>
    public ProduceResult Result { get; private set; }

    /// <summary>Called once, from whichever thread the broker answers on.</summary>
    public void Complete(ProduceResult result)
    {
        Result = result;
        _isDone = true;
    }
}

/// <summary>One partition of a produce stream: at most one batch being built and one being sent, which keeps the order over any
/// broker.</summary>
internal sealed class PartitionLane(int partition)
{
    /// <summary>The partition's number.</summary>
    public int Partition { get; } = partition;

    /// <summary>Being built, or null.</summary>
    public ProduceBatch? Open { get; set; }

    /// <summary>Sent last, or null; done or not.</summary>
    public ProduceBatch? Sent { get; set; }

    /// <summary>Whether the broker still has a batch of this lane.</summary>
    public bool IsBusy => Sent is { IsDone: false };
}
