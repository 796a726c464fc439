// A processor that does what the body of a request tells it: "word argument".
// model_config "fail" makes it refuse to load.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

static int answer(const std::string &text, int status, void **output, int *size) {
	*size = (int)text.size();
	*output = malloc(text.size() + 1);
	memcpy(*output, text.data(), text.size());
	return status;
}

extern "C" void *initialize(const char *model_entry, const char *model_config, int *state) {
	printf("loading %s\n", model_entry);
	fflush(stdout);
	if (strcmp(model_config, "fail") == 0) {
		fprintf(stderr, "the model is no good\n");
		*state = 400;
		return NULL;
	}
	*state = 0;
	return new std::string(model_entry);
}

extern "C" int process(void *model, const void *input, int input_size, void **output, int *output_size) {
	std::string body((const char *)input, input_size);
	std::string word = body.substr(0, body.find(' '));
	std::string argument = word.size() < body.size() ? body.substr(word.size() + 1) : "";
	if (word == "echo") return answer(argument, 200, output, output_size);
	if (word == "model") return answer(*(std::string *)model, 200, output, output_size);
	if (word == "pid") return answer(std::to_string(getpid()), 200, output, output_size);
	if (word == "cwd") {
		char path[4096];
		return answer(getcwd(path, sizeof path) ? path : "", 200, output, output_size);
	}
	if (word == "env") {
		const char *value = getenv(argument.c_str());
		return value ? answer(value, 200, output, output_size) : answer("unset", 404, output, output_size);
	}
	if (word == "read") {
		std::ifstream file(argument);
		if (!file) return answer("cannot open " + argument, 404, output, output_size);
		std::stringstream text;
		text << file.rdbuf();
		return answer(text.str(), 200, output, output_size);
	}
	if (word == "write") {
		FILE *file = fopen(argument.c_str(), "a");
		if (!file) return answer(strerror(errno), 403, output, output_size);
		fclose(file);
		return answer("written", 200, output, output_size);
	}
	if (word == "sleep") {
		printf("sleeping\n");
		fflush(stdout);
		usleep(1000 * atoi(argument.c_str()));
		return answer("slept", 200, output, output_size);
	}
	if (word == "print") {
		for (int i = 0; i < atoi(argument.c_str()); i++) printf("line %d\n", i);
		fflush(stdout);
		return answer("printed", 200, output, output_size);
	}
	if (word == "grow") {
		size_t size = (size_t)atoi(argument.c_str()) << 20;
		char *block = (char *)malloc(size);
		memset(block, 1, size);
		return answer("grown", 200, output, output_size);
	}
	if (word == "crash") *(volatile int *)16 = 1;
	if (word == "exit") _exit(atoi(argument.c_str()));
	return answer("unknown word " + word, 400, output, output_size);
}
