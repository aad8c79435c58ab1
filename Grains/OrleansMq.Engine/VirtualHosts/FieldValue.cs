using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>An integer type of AMQP's field tables.</summary>
internal enum IntegerKind
{
    /// <summary>64 bits, the type of integers in plain JSON.</summary>
    Int64,
    /// <summary>32 bits.</summary>
    Int32,
    /// <summary>32 bits, unsigned.</summary>
    UInt32,
    /// <summary>16 bits.</summary>
    Int16,
    /// <summary>16 bits, unsigned.</summary>
    UInt16,
    /// <summary>8 bits.</summary>
    Int8,
    /// <summary>8 bits, unsigned.</summary>
    UInt8,
}

/// <summary>A typed value of an AMQP field table. Two values are equal if their types and contents are.</summary>
[JsonConverter(typeof(FieldValueConverter))]
internal abstract record FieldValue
{
    /// <summary>The type's name in the texts of refusals, as RabbitMQ prints it.</summary>
    public abstract string TypeName { get; }

    /// <summary>How many tables and arrays it has in each other, itself with them.</summary>
    public virtual int Depth => 0;

    /// <summary>Whether another value is the same but for the width of an integer.</summary>
    public virtual bool IsEquivalent(FieldValue? other) => Equals(other);

    /// <summary>Returns the value as refusals print it.</summary>
    public abstract override string ToString();
}

/// <summary>No value: in arguments of bindings, any value.</summary>
internal sealed record VoidValue : FieldValue
{
    /// <summary>The only value of the type.</summary>
    public static VoidValue Instance { get; } = new();

    /// <inheritdoc/>
    public override string TypeName => "void";

    /// <inheritdoc/>
    public override string ToString() => "undefined";
}

/// <summary>A boolean.</summary>
internal sealed record BooleanValue(bool Value) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => "bool";

    /// <inheritdoc/>
    public override string ToString() => Value ? "true" : "false";
}

/// <summary>An integer of any width.</summary>
internal sealed record IntegerValue(long Value, IntegerKind Kind = IntegerKind.Int64) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => Kind switch
    {
        IntegerKind.Int32 => "signedint",
        IntegerKind.UInt32 => "unsignedint",
        IntegerKind.Int16 => "short",
        IntegerKind.UInt16 => "unsignedshort",
        IntegerKind.Int8 => "byte",
        IntegerKind.UInt8 => "unsignedbyte",
        _ => "long",
    };

    /// <inheritdoc/>
    public override bool IsEquivalent(FieldValue? other) => other is IntegerValue integer && integer.Value == Value;

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A floating-point number of 64 or 32 bits.</summary>
internal sealed record FloatingValue(double Value, bool IsSingle = false) : FieldValue
{
    /// <summary>The number. It is never -0, which is equal to 0 and has another text: equal values have the same text.</summary>
    public double Value { get; } = Value == 0 ? 0 : Value;

    /// <inheritdoc/>
    public override string TypeName => IsSingle ? "float" : "double";

    /// <inheritdoc/>
    public override string ToString() => Value.ToString("R", CultureInfo.InvariantCulture);
}

/// <summary>A decimal number: <paramref name="Unscaled"/> divided by ten to the power of <paramref name="Scale"/>.</summary>
internal sealed record DecimalValue(byte Scale, long Unscaled) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => "decimal";

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{{{Scale},{Unscaled}}}");
}

/// <summary>A text: AMQP's long string.</summary>
internal sealed record TextValue(string Value) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => "longstr";

    /// <inheritdoc/>
    public override string ToString() => Value;
}

/// <summary>Bytes, or a long string that is not UTF-8.</summary>
internal sealed record BinaryValue(ImmutableArray<byte> Value, bool IsText = false) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => IsText ? "longstr" : "binary";

    /// <inheritdoc/>
    public bool Equals(BinaryValue? other) =>
        other is not null && IsText == other.IsText && Value.AsSpan().SequenceEqual(other.Value.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Value.AsSpan());
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public override string ToString() => Convert.ToBase64String(Value.AsSpan());
}

/// <summary>A time in seconds since 1970.</summary>
internal sealed record TimestampValue(long Seconds) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => "timestamp";

    /// <inheritdoc/>
    public override string ToString() => Seconds.ToString(CultureInfo.InvariantCulture);
}

/// <summary>An array.</summary>
internal sealed record ArrayValue(ImmutableArray<FieldValue> Items) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => "array";

    /// <inheritdoc/>
    public override int Depth => 1 + Items.Select(static item => item.Depth).DefaultIfEmpty().Max();

    /// <inheritdoc/>
    public bool Equals(ArrayValue? other) => other is not null && Items.AsSpan().SequenceEqual(other.Items.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => Items.Aggregate(Items.Length, HashCode.Combine);

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(',', Items)}]";
}

/// <summary>A table inside a table.</summary>
internal sealed record TableValue(FieldTable Table) : FieldValue
{
    /// <inheritdoc/>
    public override string TypeName => "table";

    /// <inheritdoc/>
    public override int Depth => Table.Depth;

    /// <inheritdoc/>
    public override string ToString() => Table.ToString();
}

/// <summary>The arguments of an exchange, a queue or a binding: typed values by name, in ordinal order. Immutable.</summary>
[JsonConverter(typeof(FieldTableConverter))]
internal sealed class FieldTable : IEquatable<FieldTable>
{
    /// <summary>How deep new arguments may be: more than any client needs, and little to what <see cref="VirtualHostJson"/> can write. A
    /// table costs two levels there where a name needs a mark.</summary>
    public const int MaxDepth = 16;

    private readonly ImmutableSortedDictionary<string, FieldValue> _fields;
    private readonly int _hash;

    private FieldTable(ImmutableSortedDictionary<string, FieldValue> fields)
    {
        _fields = fields;
        foreach (var (name, value) in fields)
            _hash = HashCode.Combine(_hash, name, value);
    }

    /// <summary>A table without fields.</summary>
    public static FieldTable Empty { get; } = new(ImmutableSortedDictionary.Create<string, FieldValue>(StringComparer.Ordinal));

    /// <summary>The fields by name.</summary>
    public IReadOnlyDictionary<string, FieldValue> Fields => _fields;

    /// <summary>Whether it has no fields.</summary>
    public bool IsEmpty => _fields.IsEmpty;

    /// <summary>How many tables and arrays it has in each other, itself with them.</summary>
    public int Depth => 1 + _fields.Values.Select(static value => value.Depth).DefaultIfEmpty().Max();

    /// <summary>The value of a field; null if there is none.</summary>
    public FieldValue? this[string name] => _fields.GetValueOrDefault(name);

    /// <summary>Creates a table. Of fields with the same name the last one counts.</summary>
    public static FieldTable Of(IEnumerable<KeyValuePair<string, FieldValue>> fields)
    {
        var all = Empty._fields.SetItems(fields);
        return all.IsEmpty ? Empty : new FieldTable(all);
    }

    /// <summary>Creates a table from fields.</summary>
    public static FieldTable Of(params (string Name, FieldValue Value)[] fields) =>
        Of(fields.Select(field => KeyValuePair.Create(field.Name, field.Value)));

    /// <summary>Returns why these cannot be the arguments of something new; null if they can.</summary>
    /// <param name="resource">What they are for, in the refusal.</param>
    public AmqpRefusal? FaultOf(string resource) =>
        FaultOf(Depth) is { } fault ? AmqpRefusal.Precondition($"the arguments of {resource} are {fault}") : null;

    /// <summary>Returns what is wrong with a depth; null if nothing is.</summary>
    public static string? FaultOf(int depth) => depth <= MaxDepth ? null
        : $"nested {depth} deep; {MaxDepth} are allowed: have fewer tables and arrays in each other";

    /// <summary>Returns the table with a field.</summary>
    public FieldTable With(string name, FieldValue value) => new(_fields.SetItem(name, value));

    /// <summary>Returns the text of a field; null if it is missing or no text.</summary>
    public string? Text(string name) => (this[name] as TextValue)?.Value;

    /// <summary>Returns the integer of a field; null if it is missing or no integer.</summary>
    public long? Integer(string name) => (this[name] as IntegerValue)?.Value;

    /// <inheritdoc/>
    public bool Equals(FieldTable? other) => ReferenceEquals(this, other)
        || other is not null && _hash == other._hash && _fields.Count == other._fields.Count && _fields.SequenceEqual(other._fields);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as FieldTable);

    /// <inheritdoc/>
    public override int GetHashCode() => _hash;

    /// <summary>Returns the fields as refusals print them.</summary>
    public override string ToString() => $"[{string.Join(',', _fields.Select(field => $"{{{field.Key},{field.Value}}}"))}]";
}
