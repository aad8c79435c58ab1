using System.Text;

namespace OrleansMq.Filters;

/// <summary>
/// A tag expression of RocketMQ: <c>a || b</c> matches records whose tag is a or b, <c>*</c> and the empty text match all. A tag is the
/// whole value of one header. Blanks around tags and empty tags are ignored; a text with <c>||</c> alone is refused.
/// </summary>
internal sealed class TagFilter : RecordFilter
{
    private const string Separator = "||";
    private const string Everything = "*";

    private readonly byte[] _header;
    private readonly string[] _tags;
    private readonly byte[][] _values;

    private TagFilter(string header, string[] tags)
    {
        _header = Encoding.UTF8.GetBytes(header);
        _tags = tags;
        _values = [.. tags.Select(Encoding.UTF8.GetBytes)];
    }

    /// <summary>Parses a tag expression.</summary>
    /// <param name="text">The expression; null is the empty one.</param>
    /// <param name="header">The header that holds a record's tag.</param>
    /// <exception cref="FilterSyntaxException">It is too long, has too many tags, or none.</exception>
    public static RecordFilter Parse(string? text, string header)
    {
        if (text is null or "" or Everything)
            return All;
        if (text.Length > FilterLimits.MaxLength)
            throw new FilterSyntaxException(FilterLimits.MaxLength + 1,
                $"the expression has {text.Length} characters; at most {FilterLimits.MaxLength} are allowed.");
        var tags = text.Split(Separator, StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        tags = [.. tags.Distinct(StringComparer.Ordinal)];
        if (tags.Length == 0)
            throw new FilterSyntaxException(1, "expected a tag, tags with '||' between them, or '*'.");
        if (tags.Length > FilterLimits.MaxTerms)
            throw new FilterSyntaxException(1, $"there are {tags.Length} tags; at most {FilterLimits.MaxTerms} are allowed.");
        return new TagFilter(header, tags);
    }

    /// <inheritdoc/>
    public override bool Matches(ReadOnlySpan<byte> headers, int count)
    {
        var reader = new HeaderReader(headers, count);
        ReadOnlySpan<byte> tag = default;
        var isTagged = false;
        while (reader.MoveNext())
        {
            if (reader.Name.SequenceEqual(_header))
                {
                tag = reader.Value;
                isTagged = !reader.IsNull;
            }
        }
        if (!isTagged)
            return false;
        foreach (var value in _values)
        {
            if (tag.SequenceEqual(value))
                return true;
        }
        return false;
    }

    /// <summary>Returns the expression's text.</summary>
    public override string ToString() => string.Join(" || ", _tags);
}
