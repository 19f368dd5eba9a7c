/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iris-readout: the reads of one exposure become a raw science frame.
 *
 *     settings -> exposure -> references -> plan -> frame -> product
 */
#include "exposure.h"
#include "frame.h"
#include "output.h"
#include "plan.h"
#include "product.h"
#include "references.h"
#include "settings.h"

#include <stdio.h>
#include <string.h>

static bool fit_and_write(const settings *s, const exposure *e,
			  const references *maps, report *r)
{
	plan steps;
	frame image = { 0 };
	product result = { s, e, maps, &steps, &image, { 0 }, { 0 } };
	bool good;

	(void)timespec_get(&result.start, TIME_UTC);
	good = plan_make(&steps, s, e, maps, r) &&
	       frame_fit(&image, e, &steps, s, r);
	(void)timespec_get(&result.end, TIME_UTC);
	if (good)
		plan_note_fit(&steps, s, e, &image.notes, r);
	good = good && product_write(&result, r);
	if (good && !s->quiet)
		(void)printf("%s: %zu reads in %zu ramp%s, %s\n", s->output,
			     e->nread, e->nramp, e->nramp == 1 ? "" : "s",
			     mode_name(steps.options.mode));
	frame_free(&image);
	plan_free(&steps);
	return good;
}

static bool run(const settings *s, report *r)
{
	exposure reads = { 0 };
	references maps = { 0 };
	bool good = output_check(s, r) && exposure_ingest(&reads, s, r) &&
		    exposure_arrange(&reads, s, r) &&
		    references_load(&maps, s, &reads, r) &&
		    fit_and_write(s, &reads, &maps, r);

	references_free(&maps);
	exposure_free(&reads);
	return good;
}

int main(int argc, char **argv)
{
	settings s;
	report r = { .exit_status = EXIT_GOOD };

	if (settings_parse(&s, argc, argv, &r)) {
		if (s.help)
			(void)fputs(settings_help, stdout);
		else if (s.version)
			(void)printf("iris-readout %s\n",
				     iris_readout_version());
		else
			(void)run(&s, &r);
	}
	settings_free(&s);
	if (r.exit_status != EXIT_GOOD)
		report_print(&r);
	return r.exit_status;
}
