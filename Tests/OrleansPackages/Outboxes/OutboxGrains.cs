using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Serialization;
using Orleans.Storage;
using OrleansMq.Client;
using OrleansMq.Outboxes;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>What a grain has booked, and the messages that say so.</summary>
[GenerateSerializer]
public sealed class Ledger : IHasOutbox
{
    [Id(0)]
    public List<int> Numbers { get; set; } = [];

    [Id(1)]
    public OutboxDocument? Outbox { get; set; }
}

/// <summary>A grain that books numbers, and sends one message for each. A call may be repeated.</summary>
public interface ILedgerGrain : IGrainWithStringKey
{
    Task BookAsync(string topic, int number, string? value = null);

    /// <summary>Books without a look at what is booked.</summary>
    Task DepositAsync(string topic, int number);

    Task BookAndFlushAsync(string topic, int number, string value);

    Task<string[]> PendingAsync();

    Task DiscardAsync(string topic);

    Task AddAsync(string topic, int number);

    /// <summary>Adds a message with an id of its own, as a header or as the property.</summary>
    Task AddWithIdAsync(string topic, string id, bool isHeader);

    Task<int[]> ReadAgainAsync();

    Task RetryParkedAsync();

    Task<string[]> ParkedAsync();

    Task FlushAsync();

    Task<string?> ClearAsync();

    Task<string> SiloAsync();

    Task DeactivateAsync();
}

/// <summary>The name of its type has a slash.</summary>
public interface ISlashedLedgerGrain : ILedgerGrain;

/// <summary>Its calls interleave.</summary>
public interface IInterleavedLedgerGrain : ILedgerGrain;

/// <summary>One activation of it on each silo that is called.</summary>
public interface IDoubledLedgerGrain : ILedgerGrain;

public abstract class LedgerGrainBase(IOutboxState<Ledger> ledger, ILocalSiloDetails silo) : Grain
{
    public Task BookAsync(string topic, int number, string? value = null)
    {
        if (ledger.State.Numbers.Contains(number))
            return Task.CompletedTask;
        Add(topic, number, value);
        return ledger.WriteStateAsync();
    }

    public Task DepositAsync(string topic, int number)
    {
        Add(topic, number, null);
        return ledger.WriteStateAsync();
    }

    public async Task BookAndFlushAsync(string topic, int number, string value)
    {
        await BookAsync(topic, number, value);
        await ledger.Outbox.FlushAsync();
    }

    public Task AddAsync(string topic, int number)
    {
        Add(topic, number, null);
        return Task.CompletedTask;
    }

    public Task AddWithIdAsync(string topic, string id, bool isHeader)
    {
        ledger.Outbox.Add(new ProducerRecord<string, string>(topic, "key", "0")
        {
            Headers = isHeader ? new[] { RecordHeaders.Text(OutboxHeaders.MessageId, id) } : default,
            MessageId = isHeader ? null : id,
        });
        return Task.CompletedTask;
    }

    public Task<string[]> PendingAsync() =>
        Task.FromResult<string[]>([.. ledger.Outbox.Pending.Select(static message => message.Topic)]);

    public Task DiscardAsync(string topic)
    {
        ledger.Outbox.DiscardPending(topic);
        return ledger.WriteStateAsync();
    }

    public async Task<int[]> ReadAgainAsync()
    {
        await ledger.ReadStateAsync();
        return [.. ledger.State.Numbers];
    }

    public Task RetryParkedAsync()
    {
        ledger.Outbox.RetryParked();
        return ledger.WriteStateAsync();
    }

    public Task<string[]> ParkedAsync() =>
        Task.FromResult<string[]>([.. ledger.Outbox.Parked.Select(static message => message.Refusal!)]);

    public Task FlushAsync() => ledger.Outbox.FlushAsync();

    public async Task<string?> ClearAsync()
    {
        try
        {
            await ledger.ClearStateAsync();
            return null;
        }
        catch (InvalidOperationException refused)
        {
            return refused.Message;
        }
    }

    public Task<string> SiloAsync() => Task.FromResult(silo.Name);

    public Task DeactivateAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    private void Add(string topic, int number, string? value)
    {
        ledger.State.Numbers.Add(number);
        ledger.Outbox.Add(new ProducerRecord<string, string>(topic, this.GetPrimaryKeyString(), value ?? $"{number}"));
    }
}

public sealed class LedgerGrain([OutboxState("ledger", "test")] IOutboxState<Ledger> ledger, ILocalSiloDetails silo)
    : LedgerGrainBase(ledger, silo), ILedgerGrain;

[GrainType("shop/ledger")]
public sealed class SlashedLedgerGrain([OutboxState("ledger", "test")] IOutboxState<Ledger> ledger, ILocalSiloDetails silo)
    : LedgerGrainBase(ledger, silo), ISlashedLedgerGrain;

[StatelessWorker(1)]
public sealed class DoubledLedgerGrain([OutboxState("ledger", "test")] IOutboxState<Ledger> ledger, ILocalSiloDetails silo)
    : LedgerGrainBase(ledger, silo), IDoubledLedgerGrain;

[Reentrant]
public sealed class InterleavedLedgerGrain([OutboxState("ledger", "test")] IOutboxState<Ledger> ledger, ILocalSiloDetails silo)
    : LedgerGrainBase(ledger, silo), IInterleavedLedgerGrain;

/// <summary>What a write of the storage does, besides or instead of being stored.</summary>
public enum WriteFault
{
    None = 0,
    /// <summary>It is not stored, and the caller is not told why.</summary>
    Lost = 1,
    /// <summary>It is stored, and the caller is not told.</summary>
    Unanswered = 2,
}

/// <summary>A storage of all silos, with ETags, whose writes fail as a test says. It holds what the serializer of Orleans' storage
/// providers makes.</summary>
internal sealed class TestStorage
{
    private readonly ConcurrentDictionary<(string, GrainId), (int Version, BinaryData Data)> _rows = [];

    /// <summary>Says what becomes of a write of a grain.</summary>
    public Func<GrainId, WriteFault> Fault { get; set; } = static _ => WriteFault.None;

    /// <summary>Whether the state of a grain can be read.</summary>
    public Func<GrainId, bool> CanRead { get; set; } = static _ => true;

    /// <summary>What a write of a grain waits for.</summary>
    public Func<GrainId, Task> BeforeWrite { get; set; } = static _ => Task.CompletedTask;

    /// <summary>Whether a write serializes the state when its turn has come, as where a storage waits for a connection before.</summary>
    public bool SerializesLate { get; set; }

    public void AddTo(ISiloBuilder silo) => silo.Services.AddKeyedSingleton<IGrainStorage>("test", (services, _) =>
        new OfSilo(this, new JsonGrainStorageSerializer(services.GetRequiredService<OrleansJsonSerializer>())));

    private sealed class OfSilo(TestStorage storage, IGrainStorageSerializer serializer) : IGrainStorage
    {
        public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            if (!storage.CanRead(grainId))
                throw new TimeoutException("the storage is away");
            if (storage._rows.TryGetValue((stateName, grainId), out var row))
            {
                grainState.State = serializer.Deserialize<T>(row.Data);
                (grainState.ETag, grainState.RecordExists) = ($"{row.Version}", true);
            }
            else
                (grainState.ETag, grainState.RecordExists) = (null, false);
            return Task.CompletedTask;
        }

        public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            var data = serializer.Serialize(grainState.State);
            await Task.Yield();
            await storage.BeforeWrite(grainId);
            if (storage.SerializesLate)
                data = serializer.Serialize(grainState.State);
            var fault = storage.Fault(grainId);
            if (fault == WriteFault.Lost)
                throw new TimeoutException("the write was lost");
            var key = (stateName, grainId);
            var version = grainState.ETag is { } etag ? int.Parse(etag, System.Globalization.CultureInfo.InvariantCulture) : 0;
            var isStored = version == 0 ? storage._rows.TryAdd(key, (1, data))
                : storage._rows.TryGetValue(key, out var row) && row.Version == version
                    && storage._rows.TryUpdate(key, (version + 1, data), row);
            if (!isStored)
                throw new InconsistentStateException($"{grainId} is another version");
            if (fault == WriteFault.Unanswered)
                throw new TimeoutException("the answer was lost");
            (grainState.ETag, grainState.RecordExists) = ($"{version + 1}", true);
        }

        public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            storage._rows.TryRemove((stateName, grainId), out _);
            (grainState.State, grainState.ETag, grainState.RecordExists) = (default!, null, false);
            return Task.CompletedTask;
        }
    }

    /// <summary>The stored text of a grain; null for none.</summary>
    public string? Find(GrainId grain) => _rows.TryGetValue(("ledger", grain), out var row) ? row.Data.ToString() : null;
}
