using Orleans.Concurrency;

namespace OrleansMq.Outboxes;

/// <summary>Wakes the outboxes of a grain. Every grain of a silo with outboxes has it.</summary>
[Alias("omq.IOutboxExtension")]
internal interface IOutboxExtension : IGrainExtension
{
    /// <summary>Sends what is not delivered. Does not wait for it, nor for what the grain is doing.</summary>
    /// <returns>When to wake it again; null: its state has no messages.</returns>
    [Alias("WakeUp"), AlwaysInterleave, ResponseTimeout("00:00:10")]
    Task<TimeSpan?> WakeUpAsync();
}

/// <summary>The outboxes of one activation. Runs in its turns.</summary>
internal sealed class OutboxExtension : IOutboxExtension
{
    private readonly List<OutboxActivation> _outboxes = [];

    /// <summary>Adds an outbox of the activation.</summary>
    public void Register(OutboxActivation outbox) => _outboxes.Add(outbox);

    /// <inheritdoc/>
    public Task<TimeSpan?> WakeUpAsync()
    {
        if (_outboxes.Count == 0)
        {
            throw new InvalidOperationException("The grain has a wake-up for its outbox, and its class has no outbox now: deploy a version "
                + "whose constructor has the parameter with [OutboxState], so that its messages are delivered.");
        }
        // Each is asked, since each begins to send.
        var delays = _outboxes.ConvertAll(static outbox => outbox.WakeUp());
        return Task.FromResult(delays.Min());
    }
}
