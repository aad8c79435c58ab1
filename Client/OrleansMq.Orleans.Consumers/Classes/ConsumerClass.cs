namespace OrleansMq.Consumers;

/// <summary>A grain class that consumes a topic.</summary>
/// <param name="Class">The class.</param>
/// <param name="GrainType">Its grain type.</param>
/// <param name="Topic">The topic.</param>
/// <param name="Keys">Finds its grains.</param>
/// <param name="Reader">Reads the topic's values.</param>
/// <param name="Delivery">How records are delivered.</param>
internal sealed record ConsumerClass(Type Class, GrainType GrainType, string Topic, GrainKeys Keys, ValueReader Reader,
    DeliveryOptions Delivery)
{
    private const int MaxAttempts = 1_000;

    /// <summary>The name of its cursor.</summary>
    public string Queue => CursorTopics.NameOf("grains:", GrainType.ToString()!);

    /// <summary>Reads what a class consumes.</summary>
    /// <param name="grainClass">The class.</param>
    /// <param name="grainType">Its grain type.</param>
    /// <param name="options">The options.</param>
    /// <exception cref="OrleansConfigurationException">It cannot consume; the message names the class and what to do.</exception>
    public static IReadOnlyList<ConsumerClass> Read(Type grainClass, GrainType grainType, OrleansMqConsumerOptions options)
    {
        var attributes = grainClass.GetCustomAttributes(typeof(ConsumesAttribute), inherit: true).Cast<ConsumesAttribute>().ToList();
        var values = grainClass.GetInterfaces().Where(static face => face.IsGenericType
            && face.GetGenericTypeDefinition() == typeof(IGrainConsumer<>)).Select(static face => face.GetGenericArguments()[0]).ToList();
        var twice = attributes.GroupBy(static attribute => attribute.Topic, StringComparer.Ordinal)
            .FirstOrDefault(static same => same.Count() > 1);
        Require(twice is null, grainClass, $"says twice that it consumes topic '{twice?.Key}': remove one attribute");
        return [.. attributes.Select(attribute => Read(grainClass, grainType, attribute, values, options))];
    }

    private static ConsumerClass Read(Type grainClass, GrainType grainType, ConsumesAttribute attribute, List<Type> values,
        OrleansMqConsumerOptions options)
    {
        var says = $"says [Consumes(\"{attribute.Topic}\")]";
        Require(!string.IsNullOrEmpty(attribute.Topic), grainClass, $"{says} and names no topic: name one");
        Require(!grainClass.ContainsGenericParameters, grainClass, $"{says} and is generic: give the attribute to a class without type "
            + "parameters");
        Require(values.Count > 0, grainClass, $"{says} and does not implement IGrainConsumer<TValue>: implement it for the type of the "
            + "topic's values");
        Require(attribute.ValueType is { } named ? values.Contains(named) : values.Count == 1, grainClass, attribute.ValueType is { } type
            ? $"says [Consumes<{type.Name}>(\"{attribute.Topic}\")] and does not implement IGrainConsumer<{type.Name}>: implement it"
            : $"{says} and implements IGrainConsumer<TValue> for {string.Join(", ", values.Select(static value => value.Name))}: say which "
                + $"one the topic has, such as [Consumes<{values[0].Name}>(\"{attribute.Topic}\")]");
        Require(GrainKeys.KindOf(grainClass) is not null, grainClass, $"{says} and its interfaces have no kind of key, or several: "
            + "implement an interface of one of IGrainWithStringKey, IGrainWithGuidKey, IGrainWithIntegerKey, IGrainWithGuidCompoundKey "
            + "and IGrainWithIntegerCompoundKey");
        Require(!grainClass.IsDefined(typeof(Orleans.Concurrency.StatelessWorkerAttribute), inherit: true), grainClass,
            $"{says} and is a [StatelessWorker], which has several activations of one key: remove one of the attributes");
        Require(attribute.MaxAttempts is >= 0 and <= MaxAttempts, grainClass, $"{says} with MaxAttempts = {attribute.MaxAttempts}: it is 1 "
            + $"to {MaxAttempts:N0}, or 0 for the silo's option");
        Require(attribute.KeyFormat is RecordKeyFormat.Text or RecordKeyFormat.BigEndian, grainClass,
            $"{says} with KeyFormat = {attribute.KeyFormat}: it is Text or BigEndian");
        return new ConsumerClass(grainClass, grainType, attribute.Topic,
            new GrainKeys(GrainKeys.KindOf(grainClass)!.Value, attribute.KeyFormat),
            ValueReader.Of(attribute.ValueType ?? values[0], options),
            options.DeliveryOf(attribute.MaxAttempts > 0 ? attribute.MaxAttempts : options.MaxAttempts));
    }

    private static void Require(bool condition, Type grainClass, string problem)
    {
        if (!condition)
            throw new OrleansConfigurationException($"Grain class {grainClass.FullName} {problem}.");
    }
}
