namespace OrleansMq.Partitions;

/// <summary>The sender of a control batch, which belongs to one leader epoch.</summary>
internal interface IControlAppend
{
    /// <summary>The epoch. In any other one the batch is refused.</summary>
    int Epoch { get; }

    /// <summary>The batch is in the log. It may still fail: its high watermark may not be reached in time. Under the append lock.</summary>
    void OnWritten(long offset);
}
