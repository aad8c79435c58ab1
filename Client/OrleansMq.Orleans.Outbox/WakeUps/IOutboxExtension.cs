using Orleans.Concurrency;

namespace OrleansMq.Outboxes;

/// <summary>Wakes the outboxes of a grain. Every grain of a silo with outboxes has it.</summary>
[Alias("omq.IOutboxExtension")]
internal interface IOutboxExtension : IGrainExtension
{
    /// <summary>Sends what is not delivered. Does not wait for it, nor for what the grain is doing.</summary>
    /// <param name="state">The name of the state with the outbox.</param>
    /// <param name="record">The id of the wake-up's record.</param>
    /// <returns>Whether the record is settled; otherwise it is to come again.</returns>
    [Alias("WakeUp"), AlwaysInterleave, ResponseTimeout("00:00:10")]
    Task<bool> WakeUpAsync(string state, Guid record);
}

/// <summary>The outboxes of one activation. Runs in its turns.</summary>
internal sealed class OutboxExtension : IOutboxExtension
{
    private readonly Dictionary<string, OutboxActivation> _outboxes = [];

    /// <summary>Adds an outbox of the activation.</summary>
    public void Register(string state, OutboxActivation outbox) => _outboxes.Add(state, outbox);

    /// <inheritdoc/>
    public Task<bool> WakeUpAsync(string state, Guid record) => _outboxes.TryGetValue(state, out var outbox)
        ? Task.FromResult(outbox.WakeUp(record))
        : throw new InvalidOperationException($"The grain has a wake-up for the outbox of its state '{state}', and its class has none now: "
            + "deploy a version whose constructor has the parameter with [OutboxState], so that its messages are delivered.");
}
