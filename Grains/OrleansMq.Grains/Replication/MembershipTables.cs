// Orleans marks these members obsolete in favour of ones that take a cancellation token, which earlier builds of it do not have.
#pragma warning disable CS0618

namespace OrleansMq.Grains.Replication;

/// <summary>The calls of Orleans' membership table that brokers make themselves.</summary>
internal static class MembershipTables
{
    /// <summary>Prepares the table, before any other call.</summary>
    public static Task InitializeAsync(this IMembershipTable table) => table.InitializeMembershipTable(tryInitTableVersion: true);

    /// <summary>Reads all rows, and the version that they have together.</summary>
    public static Task<MembershipTableData> ReadRowsAsync(this IMembershipTable table) => table.ReadAll();

    /// <summary>Writes a row and the table's next version.</summary>
    /// <returns>False if either was changed meanwhile.</returns>
    public static Task<bool> WriteRowAsync(this IMembershipTable table, MembershipEntry entry, string etag, TableVersion version) =>
        table.UpdateRow(entry, etag, version);

    /// <summary>Writes a silo's sign of life.</summary>
    public static Task WriteSignOfLifeAsync(this IMembershipTable table, MembershipEntry entry) => table.UpdateIAmAlive(entry);
}
