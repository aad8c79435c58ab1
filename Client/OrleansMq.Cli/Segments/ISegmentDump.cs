namespace OrleansMq.Cli.Segments;

/// <summary>A form in which a segment is shown.</summary>
internal interface ISegmentDump
{
    /// <summary>Shows one batch with its records.</summary>
    /// <returns>False when the batch, or a record of it, is damaged.</returns>
    bool Write(ScannedBatch batch);

    /// <summary>Shows the sum.</summary>
    /// <param name="batches">Batches shown, damaged ones too.</param>
    /// <param name="records">Records of the sound ones.</param>
    /// <param name="faults">Damaged batches.</param>
    /// <param name="unreadBytes">Bytes at the file's end that are no whole batch.</param>
    void End(long batches, long records, long faults, long unreadBytes);
}
