using System.Buffers;
using System.Text.Json;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// The order of bindings in stored documents: by source, destination, routing key and the text of the arguments, all ordinal; then by what
/// the text does not tell, so that different bindings are never the same to it. The arguments are looked at where all before is equal.
/// </summary>
internal sealed class BindingOrder : IComparer<BindingState>
{
    private BindingOrder()
    {
    }

    /// <summary>The order.</summary>
    public static BindingOrder Instance { get; } = new();

    /// <inheritdoc/>
    public int Compare(BindingState? x, BindingState? y)
    {
        if (ReferenceEquals(x, y))
            return 0;
        if (x is null || y is null)
            return x is null ? -1 : 1;
        var order = string.CompareOrdinal(x.Source, y.Source);
        if (order == 0)
            order = string.CompareOrdinal(x.Destination, y.Destination);
        if (order == 0)
            order = string.CompareOrdinal(x.RoutingKey, y.RoutingKey);
        if (order == 0)
            order = Compare(x.StoredArguments, y.StoredArguments);
        if (order == 0)
            order = ((int)x.Kind).CompareTo((int)y.Kind);
        if (order == 0)
            order = x.SourceId.CompareTo(y.SourceId);
        return order != 0 ? order : x.DestinationId.CompareTo(y.DestinationId);
    }

    private static int Compare(FieldTable? x, FieldTable? y)
    {
        if (x is null || y is null)
            return (x is null ? 0 : 1) - (y is null ? 0 : 1);
        // The text of an empty table is before all others.
        if (x.IsEmpty || y.IsEmpty)
            return (x.IsEmpty ? 0 : 1) - (y.IsEmpty ? 0 : 1);
        if (x.Equals(y))
            return 0;
        var order = string.CompareOrdinal(x.ToString(), y.ToString());
        return order != 0 ? order : Typed(x).AsSpan().SequenceCompareTo(Typed(y));
    }

    // The JSON of stored documents, which tells types apart.
    private static byte[] Typed(FieldTable table)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(bytes))
            FieldJson.WriteTable(writer, table, isMarked: true);
        return bytes.WrittenSpan.ToArray();
    }
}
