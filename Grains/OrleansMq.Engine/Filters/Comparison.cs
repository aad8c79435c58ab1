using System.Text;

namespace OrleansMq.Filters;

/// <summary>The operators of a comparison.</summary>
internal enum ComparisonOperator : byte
{
    Unknown = 0,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// <summary>
/// A comparison. A header's value is text; what it is compared with decides how it is read, as in RocketMQ:
/// <list type="bullet">
/// <item>With a number: as a number, by value. A text that is no number makes the comparison unknown.</item>
/// <item>With a text: byte by byte. Only = and &lt;&gt; are allowed.</item>
/// <item>With TRUE or FALSE: the text true in any case is true, every other text is false. Only = and &lt;&gt; are allowed.</item>
/// <item>With another header: byte by byte for = and &lt;&gt;, as numbers for the others.</item>
/// </list>
/// A missing header makes a comparison unknown. Two deviations: in RocketMQ a text that is no number makes the whole expression fail, and
/// 3.0 is no number beside an integer.
/// </summary>
internal sealed class Comparison(FilterOperand left, ComparisonOperator @operator, FilterOperand right) : FilterCondition
{
    private readonly bool _isNumeric = left is NumberOperand || right is NumberOperand
        || @operator is not (ComparisonOperator.Equal or ComparisonOperator.NotEqual);
    private readonly bool _isTruth = left is TruthOperand || right is TruthOperand;

    public override Truth Evaluate(in FilterValues values)
    {
        if (_isNumeric)
        {
            return TryNumber(left, values, out var first) && TryNumber(right, values, out var second)
                ? Of(Holds(@operator, first.CompareTo(second))) : Truth.Unknown;
        }
        if (_isTruth)
        {
            return TryTruth(left, values, out var first) && TryTruth(right, values, out var second)
                ? Of(first == second == (@operator == ComparisonOperator.Equal)) : Truth.Unknown;
        }
        return TryText(left, values, out var text) && TryText(right, values, out var other)
            ? Of(text.SequenceEqual(other) == (@operator == ComparisonOperator.Equal)) : Truth.Unknown;
    }

    /// <summary>Whether a value is the text true, in any case.</summary>
    public static bool IsTrue(ReadOnlySpan<byte> value) => Ascii.EqualsIgnoreCase(value, "true"u8);

    /// <summary>Returns why two operands cannot be compared; null if they can.</summary>
    public static string? Fault(FilterOperand left, ComparisonOperator @operator, FilterOperand right)
    {
        var isOrder = @operator is not (ComparisonOperator.Equal or ComparisonOperator.NotEqual);
        if (isOrder && (left is TextOperand or TruthOperand || right is TextOperand or TruthOperand))
            return $"'{Symbol(@operator)}' compares numbers: expected a number or a header's name on both sides";
        return left is HeaderOperand || right is HeaderOperand || left.GetType() == right.GetType() ? null
            : $"{left} and {right} cannot be compared: expected two literals of one type, or a header's name";
    }

    /// <summary>Whether an operator holds for the result of a comparison.</summary>
    public static bool Holds(ComparisonOperator @operator, int compared) => @operator switch
    {
        ComparisonOperator.Equal => compared == 0,
        ComparisonOperator.NotEqual => compared != 0,
        ComparisonOperator.Less => compared < 0,
        ComparisonOperator.LessOrEqual => compared <= 0,
        ComparisonOperator.Greater => compared > 0,
        _ => compared >= 0,
    };

    public override string ToString() => $"{left} {Symbol(@operator)} {right}";

    private static string Symbol(ComparisonOperator @operator) => @operator switch
    {
        ComparisonOperator.Equal => "=",
        ComparisonOperator.NotEqual => "<>",
        ComparisonOperator.Less => "<",
        ComparisonOperator.LessOrEqual => "<=",
        ComparisonOperator.Greater => ">",
        _ => ">=",
    };

    private static bool TryNumber(FilterOperand operand, in FilterValues values, out FilterNumber number)
    {
        if (operand is NumberOperand literal)
        {
            number = literal.Number;
            return true;
        }
        number = default;
        return operand is HeaderOperand header && values.TryGet(header.Slot, out var value) && FilterNumber.TryParse(value, out number);
    }

    private static bool TryTruth(FilterOperand operand, in FilterValues values, out bool truth)
    {
        if (operand is TruthOperand literal)
        {
            truth = literal.Value;
            return true;
        }
        truth = false;
        if (operand is not HeaderOperand header || !values.TryGet(header.Slot, out var value))
            return false;
        truth = IsTrue(value);
        return true;
    }

    private static bool TryText(FilterOperand operand, in FilterValues values, out ReadOnlySpan<byte> text)
    {
        if (operand is TextOperand literal)
        {
            text = literal.Bytes;
            return true;
        }
        text = default;
        return operand is HeaderOperand header && values.TryGet(header.Slot, out text);
    }
}

/// <summary>Whether a number lies between two others, which belong to the range. As a pair of comparisons with AND, or with OR where it is
/// negated.</summary>
internal sealed class Between(FilterOperand value, FilterOperand low, FilterOperand high, bool isNegated) : FilterCondition
{
    private readonly FilterCondition _range = isNegated
        ? new AnyOf([new Comparison(value, ComparisonOperator.Less, low), new Comparison(value, ComparisonOperator.Greater, high)])
        : new AllOf([new Comparison(value, ComparisonOperator.GreaterOrEqual, low),
            new Comparison(value, ComparisonOperator.LessOrEqual, high)]);

    public override Truth Evaluate(in FilterValues values) => _range.Evaluate(values);

    public override string ToString() =>
        $"{value} {(isNegated ? FilterWords.Not + " " : "")}{FilterWords.Between} {low} {FilterWords.And} {high}";
}
