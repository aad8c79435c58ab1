namespace OrleansMq.Filters;

/// <summary>A node of an expression. Its text is parsed to the same node: composed conditions stand in parentheses.</summary>
internal abstract class FilterCondition
{
    /// <summary>Evaluates the condition. It recurses at most as deep as the expression.</summary>
    public abstract Truth Evaluate(in FilterValues values);

    public abstract override string ToString();

    protected static Truth Of(bool value) => value ? Truth.True : Truth.False;
}

/// <summary>True if all conditions are true, false if one is false.</summary>
internal sealed class AllOf(FilterCondition[] conditions) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values)
    {
        var result = Truth.True;
        foreach (var condition in conditions)
        {
            var value = condition.Evaluate(values);
            if (value == Truth.False)
                return value;
            if (value < result)
                result = value;
        }
        return result;
    }

    public override string ToString() => $"({string.Join<FilterCondition>($" {FilterWords.And} ", conditions)})";
}

/// <summary>True if one condition is true, false if all are false.</summary>
internal sealed class AnyOf(FilterCondition[] conditions) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values)
    {
        var result = Truth.False;
        foreach (var condition in conditions)
        {
            var value = condition.Evaluate(values);
            if (value == Truth.True)
                return value;
            if (value > result)
                result = value;
        }
        return result;
    }

    public override string ToString() => $"({string.Join<FilterCondition>($" {FilterWords.Or} ", conditions)})";
}

/// <summary>True if the condition is false, and the other way round.</summary>
internal sealed class Negation(FilterCondition condition) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values) => Truth.True - (byte)condition.Evaluate(values);

    public override string ToString() => $"({FilterWords.Not} {condition})";
}

/// <summary>TRUE, FALSE or NULL, which is unknown.</summary>
internal sealed class TruthConstant(Truth value) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values) => value;

    public override string ToString() => value switch
    {
        Truth.True => FilterWords.True,
        Truth.False => FilterWords.False,
        _ => FilterWords.Null,
    };
}

/// <summary>A header alone: true if its value is the text true.</summary>
internal sealed class HeaderIsTrue(HeaderOperand header) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values) =>
        values.TryGet(header.Slot, out var value) ? Of(Comparison.IsTrue(value)) : Truth.Unknown;

    public override string ToString() => header.ToString();
}

/// <summary>Whether a record has no such header, or its value is null. Never unknown.</summary>
internal sealed class HeaderIsNull(HeaderOperand header, bool isNegated) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values) => Of(values.TryGet(header.Slot, out _) == isNegated);

    public override string ToString() =>
        $"{header} {FilterWords.Is} {(isNegated ? FilterWords.Not + " " : "")}{FilterWords.Null}";
}

/// <summary>Whether a header's value is one of these texts, byte by byte.</summary>
internal sealed class HeaderIsIn(HeaderOperand header, TextOperand[] items, bool isNegated) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values)
    {
        if (!values.TryGet(header.Slot, out var value))
            return Truth.Unknown;
        foreach (var item in items)
        {
            if (value.SequenceEqual(item.Bytes))
                return Of(!isNegated);
        }
        return Of(isNegated);
    }

    public override string ToString() =>
        $"{header} {(isNegated ? FilterWords.Not + " " : "")}{FilterWords.In} ({string.Join<TextOperand>(", ", items)})";
}

/// <summary>Whether a header's value matches a pattern.</summary>
internal sealed class HeaderIsLike(HeaderOperand header, LikePattern pattern, string text, char? escape, bool isNegated) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values) =>
        values.TryGet(header.Slot, out var value) && value.Length <= FilterLimits.MaxSearchedBytes
            ? Of(pattern.Matches(value) != isNegated) : Truth.Unknown;

    public override string ToString() =>
        $"{header} {(isNegated ? FilterWords.Not + " " : "")}{FilterWords.Like} {FilterWords.Literal(text)}"
        + (escape is { } character ? $" {FilterWords.Escape} {FilterWords.Literal(character.ToString())}" : "");
}

/// <summary>
/// RocketMQ's CONTAINS, STARTSWITH and ENDSWITH. As there, a missing header and an empty text make the condition false, also with NOT
/// before the word.
/// </summary>
internal sealed class HeaderHasText(HeaderOperand header, string word, TextOperand text, bool isNegated) : FilterCondition
{
    public override Truth Evaluate(in FilterValues values)
    {
        if (!values.TryGet(header.Slot, out var value) || text.Bytes.Length == 0)
            return Truth.False;
        if (word == FilterWords.StartsWith)
            return Of(value.StartsWith(text.Bytes) != isNegated);
        if (word == FilterWords.EndsWith)
            return Of(value.EndsWith(text.Bytes) != isNegated);
        return value.Length > FilterLimits.MaxSearchedBytes ? Truth.Unknown : Of(value.IndexOf(text.Bytes) >= 0 != isNegated);
    }

    public override string ToString() => $"{header} {(isNegated ? FilterWords.Not + " " : "")}{word} {text}";
}
