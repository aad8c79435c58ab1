using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>A batch of a produce stream: built, sent, then answered record by record.</summary>
internal sealed class LineBatch(int partition, RecordBatchBuilder builder)
{
    private volatile bool _isDone;

    /// <summary>The batch's partition.</summary>
    public int Partition { get; } = partition;

    /// <summary>The builder; reusable for another batch once this one is done.</summary>
    public RecordBatchBuilder Builder { get; } = builder;

    /// <summary>The bytes that count towards the stream's bound while the batch is in flight.</summary>
    public int SizeInBytes { get; set; }

    /// <summary>Whether one of its records must survive a power cut.</summary>
    public bool IsPersistent { get; set; }

    /// <summary>How many of its records were answered, which is the index of the next one.</summary>
    public int Answered { get; set; }

    /// <summary>Whether <see cref="Result"/> is set.</summary>
    public bool IsDone => _isDone;

    /// <summary>The broker's answer.</summary>
    public ProduceResult Result { get; private set; }

    /// <summary>Sets the result. Called once, on the thread on which the broker answers.</summary>
    public void Complete(ProduceResult result)
    {
        Result = result;
        _isDone = true;
    }
}

/// <summary>One partition of a produce stream, with at most one batch being built and one in flight, which keeps the order over any
/// broker.</summary>
internal sealed class PartitionLane(int partition)
{
    /// <summary>The partition's number.</summary>
    public int Partition { get; } = partition;

    /// <summary>The batch being built, or null.</summary>
    public LineBatch? Open { get; set; }

    /// <summary>The last sent batch, in flight or done, or null.</summary>
    public LineBatch? Sent { get; set; }

    /// <summary>Whether a batch of this lane is in flight.</summary>
    public bool IsBusy => Sent is { IsDone: false };
}
