using Orleans.Metadata;

namespace OrleansMq.Consumers;

/// <summary>
/// Lets the grains of a class consume a topic: each record goes to the grain whose key is the record's key. The class implements
/// <see cref="IGrainConsumer{TValue}"/>. Silos with <c>AddOrleansMqConsumers()</c> that host the class deliver. Unless the class has a
/// placement attribute, it has <see cref="PreferLocalPlacement"/>: a grain is activated on the silo that delivers its first record, which
/// is the one that leads the partition where that hosts the class.
/// </summary>
/// <param name="topic">The topic.</param>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
public class ConsumesAttribute(string topic) : Attribute, IGrainPropertiesProviderAttribute
{
    /// <summary>The topic.</summary>
    public string Topic { get; } = topic;

    /// <summary>How often a record is tried before it is dead-lettered, 1 to 1,000; 0, the default: as
    /// <see cref="OrleansMqConsumerOptions.MaxAttempts"/> says.</summary>
    public int MaxAttempts { get; set; }

    /// <summary>How the keys of records are written: as text by default.</summary>
    public RecordKeyFormat KeyFormat { get; set; } = RecordKeyFormat.Text;

    /// <summary>The type of values; null: the one that the class consumes.</summary>
    internal virtual Type? ValueType => null;

    /// <inheritdoc/>
    // A placement attribute of the class sets the same property, before this one or after it.
    void IGrainPropertiesProviderAttribute.Populate(IServiceProvider services, Type grainClass, GrainType grainType,
        Dictionary<string, string> properties) =>
        properties.TryAdd(WellKnownGrainTypeProperties.PlacementStrategy, nameof(PreferLocalPlacement));
}

/// <summary>Lets the grains of a class that consumes several types of values consume a topic with one of them.</summary>
/// <typeparam name="TValue">The type of the topic's values.</typeparam>
/// <param name="topic">The topic.</param>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
public sealed class ConsumesAttribute<TValue>(string topic) : ConsumesAttribute(topic)
{
    internal override Type ValueType => typeof(TValue);
}

/// <summary>How the keys of records are written that are keys of grains.</summary>
public enum RecordKeyFormat
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>As UTF-8 text: a UUID with hyphens or without, an integer in decimal. Of a compound key the extension follows after
    /// <c>+</c>.</summary>
    Text = 1,
    /// <summary>As Kafka's serializers for numbers write: 4 or 8 bytes for an integer, 16 bytes for a UUID, the highest byte first. The
    /// extension of a compound key follows as UTF-8 text.</summary>
    BigEndian = 2,
}
