using OrleansMq.Api;
using OrleansMq.Partitions.Cursors;

namespace OrleansMq.Shares;

/// <summary>Records that a member holds.</summary>
/// <param name="First">The first record.</param>
/// <param name="Last">The last one.</param>
/// <param name="Deliveries">How often each was delivered, with this time.</param>
internal readonly record struct AcquiredRecords(long First, long Last, int Deliveries);

/// <summary>What a member was given: whole batches, and which of their records it holds.</summary>
/// <param name="Batches">The batches; the holder disposes them.</param>
/// <param name="Acquired">The records, by offset.</param>
internal sealed record ShareRecords(IReadOnlyList<FetchResult> Batches, IReadOnlyList<AcquiredRecords> Acquired) : IDisposable
{
    /// <summary>None.</summary>
    public static ShareRecords None { get; } = new([], []);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var batch in Batches)
            batch.Dispose();
    }
}

/// <summary>What a member says of a record. The numbers are the protocol's.</summary>
internal enum ShareAcknowledgeType
{
    /// <summary>There is no record, or none for the application: it is settled.</summary>
    Gap = 0,
    /// <summary>It is processed.</summary>
    Accept = 1,
    /// <summary>It is to be delivered again.</summary>
    Release = 2,
    /// <summary>It cannot be processed.</summary>
    Reject = 3,
    /// <summary>Its lock begins anew.</summary>
    Renew = 4,
}

/// <summary>What a member says of records.</summary>
/// <param name="First">The first record.</param>
/// <param name="Last">The last one.</param>
/// <param name="Type">What became of each.</param>
internal readonly record struct ShareAcknowledgement(long First, long Last, ShareAcknowledgeType Type);

/// <summary>A request for records that is under way.</summary>
internal sealed class ShareAcquisition
{
    internal ShareAcquisition(CursorAcquisition cursor) => Cursor = cursor;

    /// <summary>Completes when records are held, or when the reader has ended.</summary>
    public Task Arrived => Cursor.Completion;

    internal CursorAcquisition Cursor { get; }
}
