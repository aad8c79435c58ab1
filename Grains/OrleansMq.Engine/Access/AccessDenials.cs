using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace OrleansMq.Access;

/// <summary>What clients asked for in vain on this broker, in numbers: operations that they may not perform, and credentials that are none.
/// Thread safe.</summary>
internal sealed class AccessDenials
{
    private readonly ConcurrentDictionary<(AccessOperation Operation, ResourceType Type), long> _denied = new();
    private readonly ConcurrentDictionary<(AccessOperation Operation, ResourceType Type), long> _warned = new();
    private readonly ConcurrentDictionary<SessionProtocol, long> _failed = new();

    /// <summary>Operations of a kind that were refused.</summary>
    public long Of(AccessOperation operation, ResourceType type) => _denied.GetValueOrDefault((operation, type));

    /// <summary>Operations of a kind that were allowed since authorization only warns.</summary>
    public long WarnedOf(AccessOperation operation, ResourceType type) => _warned.GetValueOrDefault((operation, type));

    /// <summary>Authentications that failed.</summary>
    public long FailedOver(SessionProtocol protocol) => _failed.GetValueOrDefault(protocol);

    /// <summary>Counts an operation that was refused.</summary>
    public void Denied(AccessOperation operation, ResourceType type) =>
        _denied.AddOrUpdate((operation, type), 1, static (_, count) => count + 1);

    /// <summary>Counts an operation that was allowed since authorization only warns.</summary>
    public void Warned(AccessOperation operation, ResourceType type) =>
        _warned.AddOrUpdate((operation, type), 1, static (_, count) => count + 1);

    /// <summary>Counts an authentication that failed.</summary>
    public void Failed(SessionProtocol protocol) => _failed.AddOrUpdate(protocol, 1, static (_, count) => count + 1);

    /// <summary>Adds the instruments that report the numbers.</summary>
    public void AddTo(Meter meter)
    {
        meter.CreateObservableCounter("orleansmq.access.denied", () => Measure(_denied), "{operation}",
            "Operations that clients may not perform, by operation and kind of resource.");
        meter.CreateObservableCounter("orleansmq.access.warned", () => Measure(_warned), "{operation}",
            "Operations that rules would refuse, and that are allowed since authorization only warns, by operation and kind of resource.");
        meter.CreateObservableCounter("orleansmq.access.authentication.failures", () => _failed.Select(static one =>
            new Measurement<long>(one.Value, KeyValuePair.Create("protocol", (object?)one.Key.ToString()))), "{attempt}",
            "Authentications that failed, by protocol.");
    }

    private static IEnumerable<Measurement<long>> Measure(
        ConcurrentDictionary<(AccessOperation Operation, ResourceType Type), long> counts) =>
        counts.Select(static one => new Measurement<long>(one.Value,
            KeyValuePair.Create("operation", (object?)one.Key.Operation.ToString()),
            KeyValuePair.Create("resource", (object?)one.Key.Type.ToString())));
}
