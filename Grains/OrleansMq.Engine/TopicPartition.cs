namespace OrleansMq;

/// <summary>One partition of a topic, by name. Prints as <c>orders-3</c>, which is also the name of its directory.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number, from 0.</param>
public readonly record struct TopicPartition(string Topic, int Partition)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Topic}-{Partition}";
}

/// <summary>A broker's number in its cluster: <c>--broker-id</c>.</summary>
/// <param name="Value">0 or above.</param>
public readonly record struct BrokerId(int Value)
{
    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
