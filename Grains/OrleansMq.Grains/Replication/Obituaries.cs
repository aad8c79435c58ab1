using System.Data.Common;
using Microsoft.Extensions.DependencyInjection;

namespace OrleansMq.Grains.Replication;

/// <summary>Declares silos dead in the membership table, as Orleans does, but also before this silo is a member. Thread safe.</summary>
internal sealed class Obituaries(IServiceProvider services)
{
    /// <summary>Declares a silo dead, and refreshes this silo's view of the table.</summary>
    /// <returns>False if the table could not be changed: retry.</returns>
    public async Task<bool> TryDeclareDeadAsync(SiloAddress silo)
    {
        try
        {
            var table = services.GetRequiredService<IMembershipTable>();
            var members = await table.ReadRowsAsync();
            var row = members.Members.FirstOrDefault(row => row.Item1.SiloAddress.Equals(silo));
            if (row is { Item1.Status: not SiloStatus.Dead } && !await TryDeclareDeadAsync(table, members, silo))
                return false;
            await services.GetRequiredService<IClusterMembershipService>().Refresh();
            return true;
        }
        catch (Exception unreachable) when (unreachable is DbException or TimeoutException or IOException)
        {
            return false;
        }
    }

    /// <summary>Declares a silo dead in a table that was just read.</summary>
    /// <returns>False if the table changed meanwhile: read it again.</returns>
    public static async Task<bool> TryDeclareDeadAsync(IMembershipTable table, MembershipTableData members, SiloAddress silo)
    {
        var (entry, etag) = members.Members.First(row => row.Item1.SiloAddress.Equals(silo));
        entry.Status = SiloStatus.Dead;
        return await table.WriteRowAsync(entry, etag, members.Version.Next());
    }
}
