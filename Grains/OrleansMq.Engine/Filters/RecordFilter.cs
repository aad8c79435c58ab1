using OrleansMq.Records;

namespace OrleansMq.Filters;

/// <summary>Which records a consumer wants, by their headers or their key. Compiled once; immutable, so threads may share it.</summary>
internal abstract class RecordFilter
{
    /// <summary>The filter that every record matches.</summary>
    public static readonly RecordFilter All = new AllRecords();

    /// <summary>Parses the text of a queue's filter: of a key, or a condition over headers.</summary>
    /// <exception cref="FilterSyntaxException">It is neither, or beyond <see cref="FilterLimits"/>.</exception>
    public static RecordFilter Parse(string text) => KeyFilter.TryParse(text) is { } key ? key : SqlFilter.Parse(text);

    /// <summary>Whether the filter matches a record. It allocates nothing.</summary>
    /// <exception cref="RecordBatchException">The headers are malformed. Never for a record that a <see cref="RecordReader"/>
    /// returned.</exception>
    public virtual bool Matches(in Record record) => Matches(record.HeaderBytes.Span, record.HeaderCount);

    /// <summary>Whether the filter matches a record with these headers.</summary>
    /// <param name="headers">The headers as in a record batch, without their count.</param>
    /// <param name="count">The number of headers.</param>
    /// <exception cref="RecordBatchException">The bytes are not so many headers.</exception>
    public abstract bool Matches(ReadOnlySpan<byte> headers, int count);

    private sealed class AllRecords : RecordFilter
    {
        public override bool Matches(ReadOnlySpan<byte> headers, int count) => true;
        public override string ToString() => "*";
    }
}

/// <summary>The bounds of a filter's text. A text comes from a client, and is evaluated for each record.</summary>
internal static class FilterLimits
{
    /// <summary>Characters of a text.</summary>
    public const int MaxLength = 8192;
    /// <summary>Nested parentheses and NOT. The parser and the evaluation recurse so deep.</summary>
    public const int MaxDepth = 32;
    /// <summary>Conditions of an expression, with the items of IN lists; tags of a tag expression.</summary>
    public const int MaxTerms = 256;
    /// <summary>Different headers of an expression. Their values' positions are on the stack during an evaluation.</summary>
    public const int MaxHeaders = 64;
    /// <summary>Bytes of all patterns of LIKE and CONTAINS in an expression. An evaluation takes at most so many steps for each byte of a
    /// value.</summary>
    public const int MaxPatternBytes = 1024;
    /// <summary>Bytes of a value that LIKE and CONTAINS search: what RocketMQ allows for all properties of a message. For a longer
    /// value the condition is unknown.</summary>
    public const int MaxSearchedBytes = 32767;
    /// <summary>Bytes of a value that is read as a number; a longer one is none.</summary>
    public const int MaxNumberBytes = 64;
}

/// <summary>The text of a filter is wrong. The message names the column and what was expected.</summary>
/// <param name="column">The first wrong character, from 1; one behind the last if the text ends too early.</param>
/// <param name="message">What is wrong, and what is allowed.</param>
internal sealed class FilterSyntaxException(int column, string message) : Exception($"Column {column}: {message}")
{
    /// <summary>The first wrong character, from 1.</summary>
    public int Column { get; } = column;
}
