namespace OrleansMq.Streams;

/// <summary>Where an activation looks whether an explicit subscription is still there, and which replay of it is in force.</summary>
/// <param name="table">The subscriptions.</param>
/// <param name="stream">The stream.</param>
/// <param name="subscription">The subscription.</param>
/// <param name="isRead">Whether the table has read the subscription's record; null: it has.</param>
/// <param name="abandoning">The abandonment of it; null: it is not abandoned.</param>
/// <param name="catchUp">Catches the table up; null: it has everything.</param>
internal sealed class SubscriptionPlace(SubscriptionTable table, StreamId stream, Guid subscription, Func<bool>? isRead = null,
    Task? abandoning = null, Func<Task>? catchUp = null)
{
    private bool IsThere => table.Find(stream, subscription) is not null;

    /// <summary>Whether the subscription is gone, and does not come any more.</summary>
    public bool IsGone => (abandoning?.IsCompleted ?? isRead?.Invoke() ?? true) && !IsThere;

    /// <summary>The newest replay that the table has of it; null: none, or the subscription is not there.</summary>
    public Replay? Replay => table.Find(stream, subscription)?.Replay;

    /// <inheritdoc cref="SubscriptionTable.Begun"/>
    public int Begun => table.Begun;

    /// <summary>Completes when the table has everything that was answered before the call.</summary>
    public Task CatchUpAsync() => catchUp?.Invoke() ?? Task.CompletedTask;

    /// <summary>Whether its abandonment has ended, and an activation had resumed it before.</summary>
    public bool IsKept => abandoning is { IsCompleted: true } && IsThere;
}
