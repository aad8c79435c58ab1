using System.Collections.Concurrent;
using System.Text;
using Orleans.EventSourcing;
using Orleans.GrainDirectory;
using Orleans.Placement;
using OrleansMq.Consumers;
using OrleansMq.Tests.OrleansPackages.Streams;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>A value.</summary>
[GenerateSerializer]
public sealed record Ordered([property: Id(0)] int Number);

/// <summary>A value of another type.</summary>
public sealed record Paid(int Cents);

/// <summary>What a grain received.</summary>
internal sealed record Consumption(int Number, ConsumedRecord Record, Grain Grain, CancellationToken Token);

/// <summary>What grains received, and what they do then. Every test has topics of its own.</summary>
internal static class ConsumerScript
{
    private static readonly ConcurrentDictionary<(string Topic, string Key), ConcurrentQueue<Consumption>> s_received = [];
    private static readonly ConcurrentDictionary<string, Func<Consumption, Task>> s_scripts = [];

    /// <summary>Sets what grains do with the records of a topic before they count as received.</summary>
    public static void On(string topic, Func<Consumption, Task> script) => s_scripts[topic] = script;

    /// <summary>Returns what was received, in order.</summary>
    public static Consumption[] Calls(string topic, string key) =>
        s_received.TryGetValue((topic, key), out var received) ? [.. received] : [];

    /// <summary>Returns the numbers that were received, in order.</summary>
    public static int[] Received(string topic, string key) => [.. Calls(topic, key).Select(static call => call.Number)];

    public static async Task ReceiveAsync(Grain grain, int number, ConsumedRecord record, CancellationToken cancellationToken)
    {
        var call = new Consumption(number, record, grain, cancellationToken);
        if (s_scripts.TryGetValue(record.Topic, out var script))
            await script(call);
        s_received.GetOrAdd((record.Topic, Encoding.UTF8.GetString(record.Key.Span)), _ => new()).Enqueue(call);
    }
}

public interface IOrdersGrain : IGrainWithStringKey;

/// <summary>Consumes what most tests send.</summary>
[Consumes("consume-facts")]
[Consumes("consume-parallel")]
[Consumes("consume-flight")]
[Consumes("consume-credit")]
[Consumes("consume-retry")]
[Consumes("consume-fails", MaxAttempts = 3)]
[Consumes("consume-metrics", MaxAttempts = 3)]
[Consumes("consume-unfit")]
[Consumes("consume-deactivates")]
[Consumes("consume-missing")]
[Consumes("consume-limit")]
[Consumes("consume-message-size", MaxAttempts = 3)]
[Consumes("consume-again")]
[Consumes("consume-killed")]
[Consumes("consume-near")]
[Orleans.Concurrency.Reentrant]
public sealed class OrdersGrain : Grain, IOrdersGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}

public interface IAccountGrain : IGrainWithGuidKey;

/// <summary>Consumes two topics with values of different types.</summary>
[Consumes<Ordered>("consume-two-orders")]
[Consumes<Paid>("consume-two-payments")]
public sealed class AccountGrain : Grain, IAccountGrain, IGrainConsumer<Ordered>, IGrainConsumer<Paid>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);

    public Task ConsumeAsync(Paid value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Cents, record, cancellationToken);
}

public interface ISpreadGrain : IGrainWithStringKey;

/// <summary>Is activated anywhere.</summary>
[Consumes("consume-spread"), RandomPlacement]
public sealed class SpreadGrain : Grain, ISpreadGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}

/// <summary>What a grain counts.</summary>
[GenerateSerializer]
public sealed class Tally
{
    [Id(0)]
    public List<int> Numbers { get; set; } = [];

    [Id(1)]
    public ProcessedOffsets Processed { get; set; } = new();

    public void Apply(Tallied tallied)
    {
        Processed.TryApply(tallied.Position, () => Numbers.Add(tallied.Number));
    }
}

/// <summary>That a number was counted.</summary>
[GenerateSerializer]
public sealed record Tallied([property: Id(0)] int Number, [property: Id(1)] RecordPosition Position);

public interface ITallyGrain : IGrainWithStringKey
{
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once, in its state.</summary>
public abstract class TallyGrainBase(IPersistentState<Tally> tally) : Grain, IGrainConsumer<Ordered>
{
    public async Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken)
    {
        await ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
        if (tally.State.Processed.TryApply(record, () => tally.State.Numbers.Add(value.Number)))
            await tally.WriteStateAsync();
    }

    // Of what is stored: an activation that was doubled for a moment may have written last, and this one learns it with its next write.
    public async Task<int[]> GetAsync()
    {
        await tally.ReadStateAsync();
        return [.. tally.State.Numbers];
    }
}

/// <inheritdoc/>
[Consumes("consume-once"), Consumes("consume-once-killed")]
public sealed class TallyGrain([PersistentState("tally", SharedStorage.Name)] IPersistentState<Tally> tally) : TallyGrainBase(tally),
    ITallyGrain;

public interface IDoubledTallyGrain : ITallyGrain;

/// <summary>Is in the directory that can be split. While it is, each silo that calls has an activation.</summary>
[Consumes("consume-once-doubled"), GrainDirectory(SplitDirectory.Name), PreferLocalPlacement]
public sealed class DoubledTallyGrain([PersistentState("tally", SharedStorage.Name)] IPersistentState<Tally> tally)
    : TallyGrainBase(tally), IDoubledTallyGrain;

public interface IInterleavedTallyGrain : IGrainWithStringKey
{
    Task TouchAsync();
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once, in its state, which calls that interleave write, too.</summary>
[Consumes("consume-once-interleaved"), Orleans.Concurrency.Reentrant]
public sealed class InterleavedTallyGrain([PersistentState("tally", SharedStorage.Name)] IPersistentState<Tally> tally) : Grain,
    IInterleavedTallyGrain, IGrainConsumer<Ordered>
{
    public async Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken)
    {
        await ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
        await Task.Yield();
        if (tally.State.Processed.TryApply(record, () => tally.State.Numbers.Add(value.Number)))
            await tally.WriteStateAsync();
    }

    public Task TouchAsync() => tally.WriteStateAsync();

    public Task<int[]> GetAsync() => Task.FromResult(tally.State.Numbers.ToArray());
}

public interface IJournalGrain : IGrainWithStringKey
{
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once, by events, of which the storage has the last state.</summary>
[Consumes("consume-journal"), Consumes("consume-journal-killed")]
[Orleans.Providers.StorageProvider(ProviderName = SharedStorage.Name)]
[Orleans.Providers.LogConsistencyProvider(ProviderName = "journal")]
public sealed class JournalGrain : JournalingGrain, IJournalGrain;

public interface ILogJournalGrain : IGrainWithStringKey
{
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once, by events, which the storage has all.</summary>
[Consumes("consume-journal-log")]
[Orleans.Providers.StorageProvider(ProviderName = SharedStorage.Name)]
[Orleans.Providers.LogConsistencyProvider(ProviderName = "journal-log")]
public sealed class LogJournalGrain : JournalingGrain, ILogJournalGrain;

/// <summary>Counts each number once, by events.</summary>
public abstract class JournalingGrain : JournaledGrain<Tally, Tallied>, IGrainConsumer<Ordered>
{
    public async Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken)
    {
        await ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
        if (State.Processed.Contains(record.Position))
            return;
        RaiseEvent(new Tallied(value.Number, record.Position));
        await ConfirmEvents();
    }

    // Of what is stored, as above.
    public async Task<int[]> GetAsync()
    {
        await RefreshNow();
        return [.. State.Numbers];
    }
}
