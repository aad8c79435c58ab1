using System.Text;

namespace OrleansMq.Filters;

/// <summary>
/// An expression of the SQL-92 subset that RocketMQ and JMS share:
/// <code>
/// expression := conjunction { OR conjunction }
/// conjunction := negation { AND negation }
/// negation := { NOT } condition
/// condition := ( expression ) | TRUE | FALSE | NULL | name | operand (= | &lt;&gt; | &lt; | &lt;= | &gt; | &gt;=) operand
///   | operand [NOT] BETWEEN operand AND operand | name [NOT] IN ( text { , text } ) | name IS [NOT] NULL
///   | name [NOT] LIKE text [ESCAPE character] | name [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text
/// operand := name | number | text | TRUE | FALSE
/// </code>
/// Words have any case, names of headers do not. A name that is a word, or has other characters than letters, digits, _ and $, stands in
/// double quotes. Of several headers with the name the last counts. A record matches if the expression is true: neither false nor
/// unknown. NOT applies to the whole condition behind it, as in SQL; in RocketMQ it applies to the name alone.
/// </summary>
internal sealed class SqlFilter : RecordFilter
{
    private readonly FilterCondition _condition;
    private readonly byte[][] _headers;

    private SqlFilter(FilterCondition condition, byte[][] headers) => (_condition, _headers) = (condition, headers);

    /// <summary>Parses an expression.</summary>
    /// <param name="text">The expression.</param>
    /// <param name="headerOf">Returns the header that a name of the expression stands for; null: the names are those of the
    /// headers.</param>
    /// <exception cref="FilterSyntaxException">It is no expression, or beyond <see cref="FilterLimits"/>.</exception>
    public static SqlFilter Parse(string text, Func<string, string>? headerOf = null)
    {
        var parser = new FilterParser(text);
        var condition = parser.Parse();
        return new SqlFilter(condition, [.. parser.Names.Select(name => Encoding.UTF8.GetBytes(headerOf is null ? name : headerOf(name)))]);
    }

    /// <inheritdoc/>
    public override bool Matches(ReadOnlySpan<byte> headers, int count)
    {
        Span<FilterSlot> slots = stackalloc FilterSlot[_headers.Length];
        slots.Fill(new FilterSlot(0, FilterSlot.Missing));
        var reader = new HeaderReader(headers, count);
        while (reader.MoveNext())
        {
            for (var i = 0; i < _headers.Length; i++)
            {
                if (reader.Name.SequenceEqual(_headers[i]))
                    slots[i] = new FilterSlot(reader.ValueStart, reader.ValueLength);
            }
        }
        return _condition.Evaluate(new FilterValues(headers, slots)) == Truth.True;
    }

    /// <summary>Returns a text that is parsed to the same expression.</summary>
    public override string ToString() => _condition.ToString();
}
