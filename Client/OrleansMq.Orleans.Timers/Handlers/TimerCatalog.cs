using System.Collections.Immutable;
using Orleans.Metadata;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>Publishes with each grain class which messages of timers it handles.</summary>
internal sealed class TimerProperties : IGrainPropertiesProvider
{
    /// <summary>The property with the kind of the class's keys; without it they may be of any.</summary>
    public const string KeyKind = "omq.timer-key";

    private const string Prefix = "omq.timer.";

    /// <inheritdoc/>
    public void Populate(Type grainClass, GrainType grainType, Dictionary<string, string> properties)
    {
        var messages = TimerHandlers.MessagesOf(grainClass);
        foreach (var message in messages.Where(static message => !message.ContainsGenericParameters))
            properties[KeyOf(MessageNames.Of(message))] = "true";
        if (messages.Count > 0 && GrainKeys.KindOf(grainClass) is { } kind)
            properties[KeyKind] = kind.ToString();
    }

    /// <summary>Returns the property of a type of messages, by its name.</summary>
    public static string KeyOf(string message) => Prefix + message;
}

/// <summary>Which grain classes of the cluster handle which messages. Thread-safe.</summary>
internal sealed class TimerCatalog(IClusterManifestProvider manifests, TimeProvider time)
{
    private readonly Absences<(GrainType Type, string Message)> _missing = new(manifests, static (manifest, handler) =>
        ClassesOf(manifest, handler.Type).Any(one => one.Properties.ContainsKey(TimerProperties.KeyOf(handler.Message))), time);

    /// <summary>Returns why a message for a grain would not be handled; null: it would, as far as is known.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="message">The name of the message's type.</param>
    /// <param name="type">The type.</param>
    public string? WhyNotHandled(GrainId grain, string message, Type type)
    {
        // A generic class is in the manifest without its type arguments.
        if (IsGeneric(grain.Type))
            return null;
        var classes = ClassesOf(manifests.Current, grain.Type).ToList();
        if (classes.Count == 0)
            return $"No silo has the grain class of {grain}: deploy it, or send to another grain.";
        return classes.Any(one => one.Properties.ContainsKey(TimerProperties.KeyOf(message))) ? null
            : $"The grain class of {grain} handles no timers with messages '{message}': let it implement "
                + $"IDurableTimerHandler<{type.Name}>, and call AddOrleansMqTimers() on every silo that has it.";
    }

    /// <summary>Returns why no class of the silos has a grain of the key; null: one has, as far as is known.</summary>
    /// <param name="grain">The grain.</param>
    public string? WhyNoKey(GrainId grain)
    {
        if (IsGeneric(grain.Type))
            return null;
        var kinds = ClassesOf(manifests.Current, grain.Type).Select(static one => KindOf(one)).Distinct().ToList();
        return kinds.Count == 0 || kinds.Exists(kind => kind is null || GrainKeys.IsOf(kind.Value, grain)) ? null
            : $"The key of {grain} is none of its class, which implements {string.Join(" or ", kinds.Select(InterfaceOf))}: no grain of it "
                + "can have that key.";
    }

    private static GrainKeyKind? KindOf(GrainProperties one) =>
        one.Properties.TryGetValue(TimerProperties.KeyKind, out var name) && Enum.TryParse<GrainKeyKind>(name, out var kind) ? kind : null;

    private static string InterfaceOf(GrainKeyKind? kind) => kind switch
    {
        GrainKeyKind.Guid => nameof(IGrainWithGuidKey),
        GrainKeyKind.Integer => nameof(IGrainWithIntegerKey),
        GrainKeyKind.GuidCompound => nameof(IGrainWithGuidCompoundKey),
        GrainKeyKind.IntegerCompound => nameof(IGrainWithIntegerCompoundKey),
        _ => nameof(IGrainWithStringKey),
    };

    /// <summary>Returns for how long no silo has been known to handle messages for a class; null: one does.</summary>
    /// <param name="grainType">The class.</param>
    /// <param name="message">The name of the type of messages.</param>
    public TimeSpan? MissingFor(GrainType grainType, string message) => _missing.Of((grainType, message), out _);

    private static bool IsGeneric(GrainType grainType) => grainType.ToString()!.Contains('`', StringComparison.Ordinal);

    private static IEnumerable<GrainProperties> ClassesOf(ClusterManifest manifest, GrainType grainType) => manifest.AllGrainManifests
        .Select(silo => silo.Grains.GetValueOrDefault(grainType)).OfType<GrainProperties>();
}
