using System.Globalization;

namespace OrleansMq.Client.PostgreSql;

/// <summary>The sequence number that a source gives a record, in the record's headers.</summary>
public static class RecordSequence
{
    /// <summary>The header that names the source, as text.</summary>
    public const string SourceHeader = "omq.sequence.source";

    /// <summary>The header that holds the number, as text.</summary>
    public const string NumberHeader = "omq.sequence.number";

    /// <summary>Creates the headers for a record.</summary>
    /// <param name="source">The source: unique, and numbering without gaps, also across restarts.</param>
    /// <param name="number">0 for its first record, then increasing by one.</param>
    public static RecordHeader[] Headers(string source, long number)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        return [RecordHeaders.Text(SourceHeader, source), RecordHeaders.Text(NumberHeader, number.ToString(CultureInfo.InvariantCulture))];
    }

    /// <summary>Reads the headers. Returns false if a record has none.</summary>
    public static bool TryRead(IReadOnlyList<RecordHeader> headers, out string source, out long number)
    {
        ArgumentNullException.ThrowIfNull(headers);
        source = headers.FirstOrDefault(static header => header.Name() == SourceHeader).TextValue() ?? "";
        return long.TryParse(headers.FirstOrDefault(static header => header.Name() == NumberHeader).TextValue(), NumberStyles.None,
            CultureInfo.InvariantCulture, out number) && source.Length > 0;
    }
}
