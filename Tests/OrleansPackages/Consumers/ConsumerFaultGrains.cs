using Orleans.Concurrency;
using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

public interface IReentrantTallyGrain : IGrainWithStringKey
{
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once. Calls of it interleave. Its script runs between the change and the write.</summary>
[Consumes("fault-reentrant"), Reentrant]
public sealed class ReentrantTallyGrain([PersistentState("tally", SharedStorage.Name)] IPersistentState<Tally> tally) : Grain,
    IReentrantTallyGrain, IGrainConsumer<Ordered>
{
    public async Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken)
    {
        if (!tally.State.Processed.TryApply(record, () => tally.State.Numbers.Add(value.Number)))
            return;
        await ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
        await tally.WriteStateAsync();
    }

    public Task<int[]> GetAsync() => Task.FromResult(tally.State.Numbers.ToArray());
}

public interface IWriteBehindGrain : IGrainWithStringKey
{
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once, and writes its state when it deactivates, too.</summary>
[Consumes("fault-write-behind")]
public sealed class WriteBehindGrain([PersistentState("tally", SharedStorage.Name)] IPersistentState<Tally> tally) : Grain,
    IWriteBehindGrain, IGrainConsumer<Ordered>
{
    public async Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken)
    {
        if (!tally.State.Processed.TryApply(record, () => tally.State.Numbers.Add(value.Number)))
            return;
        await ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
        await tally.WriteStateAsync();
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => tally.WriteStateAsync();

    public Task<int[]> GetAsync() => Task.FromResult(tally.State.Numbers.ToArray());
}

public interface IFragileGrain : IGrainWithStringKey;

/// <summary>Can be kept from activating.</summary>
[Consumes("fault-activation", MaxAttempts = 2), Consumes("fault-times")]
public sealed class FragileGrain : Grain, IFragileGrain, IGrainConsumer<Ordered>
{
    /// <summary>Whether the activation of a key fails.</summary>
    internal static Func<string, bool> Fails { get; set; } = static _ => false;

    internal static int Activations;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref Activations);
        return Fails(this.GetPrimaryKeyString()) ? throw new IOException("The storage is away.") : Task.CompletedTask;
    }

    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}

public interface IForgottenGrain : IGrainWithStringKey;

/// <summary>Says no topic.</summary>
public sealed class ForgottenGrain : Grain, IForgottenGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        throw new InvalidOperationException("It consumes no topic.");
}

public interface IForgedGrain : IGrainWithStringKey;

/// <summary>Receives what is delivered.</summary>
[Consumes("forged-records")]
public sealed class ForgedGrain : Grain, IForgedGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}
